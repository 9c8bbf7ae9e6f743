using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Resilience.Caching;

/// <summary>Says that a cache is registered.</summary>
internal sealed record CacheRegistration(string Name);

/// <summary>What was said about a cache beyond its settings.</summary>
internal sealed record CacheWiring(Func<IServiceProvider, IMemoryCache>? Memory);

/// <summary>Connects the caches when the host starts, without making it wait, and lets them finish when it stops.</summary>
internal sealed class CacheStarter(IServiceProvider services, IEnumerable<CacheRegistration> registrations) : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken)
    {
        foreach (string name in registrations.Select(registration => registration.Name).Distinct(StringComparer.Ordinal))
        {
            services.GetRequiredKeyedService<ResilientCache>(name).Upkeep.Start();
        }

        return Task.CompletedTask;
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        foreach (string name in registrations.Select(registration => registration.Name).Distinct(StringComparer.Ordinal))
        {
            ResilientCache cache = services.GetRequiredKeyedService<ResilientCache>(name);
            await cache.Writer.DrainAsync(cache.Core.Settings.Shared.HardTimeout).ConfigureAwait(false);
        }
    }
}
