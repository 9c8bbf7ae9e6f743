using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Resilience.Caching;
using Resilience.Caching.Local;
using Resilience.Caching.Shared;
using Resilience.Caching.Telemetry;
using Resilience.Context;
using Resilience.Settings;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers caches.</summary>
public static class ResilientCacheServiceCollectionExtensions
{
    /// <summary>The name of the cache that is had without a name.</summary>
    public const string DefaultCacheName = "Default";

    /// <summary>
    /// Adds the default cache: as <see cref="ResilientCache"/>, as <see cref="HybridCache"/> where none is registered, and under the key
    /// <see cref="DefaultCacheName"/>. Its settings are <c>Resilience:Caches:Default</c>.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="configure">Settings in code; the configuration wins over them.</param>
    /// <returns>A builder for more.</returns>
    public static CacheBuilder AddResilientCache(this IServiceCollection services, Action<CacheOptions>? configure = null)
    {
        CacheBuilder builder = AddResilientCache(services, DefaultCacheName, configure);
        services.TryAddSingleton(provider => provider.GetRequiredKeyedService<ResilientCache>(DefaultCacheName));
        services.TryAddSingleton<HybridCache>(provider => provider.GetRequiredService<ResilientCache>());
        return builder;
    }

    /// <summary>
    /// Adds a cache of its own under a name: had by <c>[FromKeyedServices(name)] ResilientCache</c>. Its settings are
    /// <c>Resilience:Caches:&lt;name&gt;</c> over <c>Resilience:Caches:Default</c>. Calling it twice for a name is harmless.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="name">The name: options name, DI key, prefix in the shared tier and metric tag at once.</param>
    /// <param name="configure">Settings in code; the configuration wins over them.</param>
    /// <returns>A builder for more.</returns>
    public static CacheBuilder AddResilientCache(this IServiceCollection services, string name, Action<CacheOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        if (name.AsSpan().IndexOfAny(":{}") >= 0)
        {
            throw new ArgumentException($"A cache's name is part of its settings' path and of its keys in the shared tier: it must have none of ':', '{{' and '}}'. This one is '{name}'.", nameof(name));
        }

        services.AddLiveSettings<CacheOptions>(name, $"Resilience:Caches:{name}", name == DefaultCacheName ? null : $"Resilience:Caches:{DefaultCacheName}");
        if (configure is not null)
        {
            services.Configure(name, configure);
        }

        services.AddMetrics();
        services.TryAddSingleton<CachingMetrics>();
        if (!services.Any(service => service.ServiceType == typeof(ResilientCache) && name.Equals(service.ServiceKey)))
        {
            services.AddKeyedSingleton(name, (provider, _) => Build(provider, name));
            services.AddHealthChecks().Add(new HealthCheckRegistration(
                $"cache:{name}",
                provider => new CacheHealthCheck(provider.GetRequiredKeyedService<ResilientCache>(name)),
                HealthStatus.Degraded,
                (string[])["resilience", "cache", "ready"]));
        }

        services.TryAddKeyedSingleton(name, (provider, _) => provider.GetRequiredKeyedService<ResilientCache>(name).Inspector);
        services.TryAddKeyedSingleton<HybridCache>(name, (provider, _) => provider.GetRequiredKeyedService<ResilientCache>(name));
        services.AddSingleton(new CacheRegistration(name));
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IHostedService, CacheStarter>());
        return new CacheBuilder(services, name);
    }

    private static ResilientCache Build(IServiceProvider provider, string name)
    {
        LiveSettings<CacheOptions> settings = provider.GetRequiredKeyedService<LiveSettings<CacheOptions>>(name);
        CacheWiring wiring = provider.GetKeyedService<CacheWiring>(name) ?? new CacheWiring(null);
        var parts = new CacheParts
        {
            Time = provider.GetRequiredService<TimeProvider>(),
            Services = provider,
            Logger = provider.GetRequiredService<ILogger<ResilientCache>>(),
            Guard = provider.GetKeyedService<ICacheGuard>(name),
            Shared = provider.GetKeyedService<ISharedTier>(name) ?? provider.GetService<ISharedTier>(),
            Leases = provider.GetKeyedService<ILeaseStore>(name) ?? provider.GetService<ILeaseStore>(),
            Backplane = provider.GetKeyedService<IBackplane>(name) ?? provider.GetService<IBackplane>(),
            LoadPipeline = NamedPipelines.Find(provider, settings.Current.LoadPipeline, settings.Path, nameof(CacheOptions.LoadPipeline)),
            SharedPipeline = NamedPipelines.Find(provider, settings.Current.Shared.Pipeline, $"{settings.Path}:Shared"),
        };
        if (wiring.Memory is { } memory)
        {
            parts = parts with { Local = clock => new MemoryCacheTier(memory(provider), name, clock) };
        }

        var cache = new ResilientCache(settings, parts);
        provider.GetRequiredService<CachingMetrics>().Observe(cache);
        return cache;
    }

    /// <summary>
    /// Lets the cache share values through an <see cref="IDistributedCache"/>, of any vendor. Its promises are weaker than Redis': there is
    /// no compare-and-set and no channel for changes, so other nodes' local copies live until their own expiry.
    /// </summary>
    /// <param name="builder">The cache.</param>
    /// <param name="cache">Gets it; the registered one by default.</param>
    public static CacheBuilder UseDistributedCache(this CacheBuilder builder, Func<IServiceProvider, IDistributedCache>? cache = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        cache ??= provider => provider.GetRequiredService<IDistributedCache>();
        builder.Services.AddKeyedSingleton<ISharedTier>(builder.Name, (provider, _) => new DistributedCacheTier(cache(provider), provider.GetRequiredService<TimeProvider>()));
        return builder;
    }

    /// <summary>Lets the cache keep its local copies in an <see cref="IMemoryCache"/> of the application, which it shares with others.</summary>
    /// <param name="builder">The cache.</param>
    /// <param name="memory">Gets it; the registered one by default.</param>
    public static CacheBuilder UseMemoryCache(this CacheBuilder builder, Func<IServiceProvider, IMemoryCache>? memory = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Services.AddKeyedSingleton(builder.Name, new CacheWiring(memory ?? (provider => provider.GetRequiredService<IMemoryCache>())));
        return builder;
    }
}
