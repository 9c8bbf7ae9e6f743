using Resilience.Hosting;
using Resilience.Degrade;
using Resilience.Pools;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds blocks by name to the kit.</summary>
public static class ResilienceKitBuilderExtensions
{
    /// <summary>Adds a named cache, configured by <c>Resilience:Caches:name</c> over <c>Resilience:Caches:Default</c>; a keyed <c>HybridCache</c>.</summary>
    /// <param name="kit">The kit.</param>
    /// <param name="name">Its name: DI key, section and metric tag.</param>
    public static IResilienceKitBuilder AddCache(this IResilienceKitBuilder kit, string name)
    {
        ArgumentNullException.ThrowIfNull(kit);
        kit.Services.AddResilientCache(name);
        return kit;
    }

    /// <summary>Adds a named pool, configured by <c>Resilience:Pools:name</c>; a keyed <see cref="ResourcePool{T}"/>.</summary>
    /// <typeparam name="T">The resource.</typeparam>
    /// <param name="kit">The kit.</param>
    /// <param name="name">Its name: DI key, section and metric tag.</param>
    /// <param name="factory">Makes, checks and destroys resources.</param>
    public static IResilienceKitBuilder AddPool<T>(this IResilienceKitBuilder kit, string name, Func<IServiceProvider, IResourceFactory<T>> factory)
        where T : class
    {
        ArgumentNullException.ThrowIfNull(kit);
        kit.Services.AddResourcePool(name, factory);
        return kit;
    }

    /// <summary>Makes a feature known before the first request asks for it, so that its section is checked when the host starts.</summary>
    /// <param name="kit">The kit.</param>
    /// <param name="feature">The feature.</param>
    public static IResilienceKitBuilder AddFeature(this IResilienceKitBuilder kit, Feature feature)
    {
        ArgumentNullException.ThrowIfNull(kit);
        kit.Services.AddDegradation().AddFeature(feature);
        return kit;
    }
}
