using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching;
using Resilience.Pools;
using Resilience.Settings;

namespace Resilience.Hosting.Wiring;

/// <summary>All caches and pools of the container. They are made when they are first asked for, which is when the host starts.</summary>
internal sealed class KitBlocks(IServiceProvider services, IEnumerable<SettingsRegistration> registrations)
{
    private readonly string[] _cacheNames = [.. registrations.Where(registration => registration.Type == typeof(CacheOptions)).Select(registration => registration.Name).Distinct(StringComparer.Ordinal)];

    /// <summary>The caches: a cache's name is the name of its settings and its DI key.</summary>
    public IReadOnlyList<ResilientCache> Caches => field ??= [.. _cacheNames.Select(name => services.GetKeyedService<ResilientCache>(name)).OfType<ResilientCache>()];

    /// <summary>The pools.</summary>
    public IReadOnlyList<IResourcePool> Pools => field ??= [.. services.GetServices<IResourcePool>().Distinct()];
}
