using Polly;
using Resilience.Caching;
using Resilience.Hosting;
using Resilience.Hosting.Pipelines;
using Resilience.Degrade;
using Resilience.Pools;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds blocks by name to the kit.</summary>
public static class ResilienceKitBuilderExtensions
{
    /// <summary>Adds a named cache, configured by <c>Resilience:Caches:name</c> over <c>Resilience:Caches:Default</c>; a keyed <c>HybridCache</c>.</summary>
    /// <param name="kit">The kit.</param>
    /// <param name="name">Its name: DI key, section and metric tag.</param>
    /// <param name="configure">Settings in code; the configuration wins over them.</param>
    public static IResilienceKitBuilder AddCache(this IResilienceKitBuilder kit, string name, Action<CacheOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(kit);
        kit.Services.AddResilientCache(name, configure);
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

    /// <summary>Adds a named pool whose resources a delegate makes; they are disposed when the pool gives them up. See the fuller overload.</summary>
    /// <typeparam name="T">The resource.</typeparam>
    /// <param name="kit">The kit.</param>
    /// <param name="name">Its name: DI key, section and metric tag.</param>
    /// <param name="create">Makes a resource.</param>
    /// <param name="configure">Settings in code; the configuration wins over them.</param>
    public static IResilienceKitBuilder AddPool<T>(this IResilienceKitBuilder kit, string name, Func<IServiceProvider, CancellationToken, ValueTask<T>> create, Action<PoolOptions>? configure = null)
        where T : class
    {
        ArgumentNullException.ThrowIfNull(kit);
        PoolBuilder pool = kit.Services.AddResourcePool(name, create);
        if (configure is not null)
        {
            pool.Configure(configure);
        }

        return kit;
    }

    /// <summary>
    /// Adds a Polly pipeline that settings may name: <c>"Pipeline": "database"</c> of a cache, of its shared tier, of a pool or of a batch writer. It is
    /// built when it is first used. Where the application has a registry of its own, a pipeline of this name in that registry wins.
    /// </summary>
    /// <param name="kit">The kit.</param>
    /// <param name="name">Its name.</param>
    /// <param name="configure">Adds strategies, such as <c>AddRetry(…)</c>; it gets the application's services.</param>
    public static IResilienceKitBuilder AddPipeline(this IResilienceKitBuilder kit, string name, Action<IServiceProvider, ResiliencePipelineBuilder> configure)
    {
        ArgumentNullException.ThrowIfNull(kit);
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        ArgumentNullException.ThrowIfNull(configure);
        kit.Services.AddSingleton(new KitPipeline(name, configure));
        return kit;
    }

    /// <summary>Adds a Polly pipeline that settings may name; see the fuller overload.</summary>
    /// <param name="kit">The kit.</param>
    /// <param name="name">Its name.</param>
    /// <param name="configure">Adds strategies.</param>
    public static IResilienceKitBuilder AddPipeline(this IResilienceKitBuilder kit, string name, Action<ResiliencePipelineBuilder> configure)
    {
        ArgumentNullException.ThrowIfNull(configure);
        return kit.AddPipeline(name, (_, builder) => configure(builder));
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
