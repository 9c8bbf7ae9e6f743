using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Resilience.Caching;
using Resilience.Caching.Guard;
using Resilience.Settings;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers bloom guards.</summary>
public static class GuardServiceCollectionExtensions
{
    /// <summary>
    /// Puts a bloom guard in front of the cache of the same name: keyed <see cref="BloomGuard"/>, built from the source when the host starts and
    /// configured by <see cref="CacheOptions.Guard"/> of the cache. Where an <see cref="IGuardJournal"/> is registered under the name, the guard is shared between nodes.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="name">The name of the cache.</param>
    /// <param name="source">Makes the source of the keys; called once.</param>
    /// <returns>The services.</returns>
    /// <remarks>
    /// Calling it again for the same name changes nothing. With more than one process the journal is a must: without it a node refuses what
    /// others have added until its next rebuild.
    /// </remarks>
    public static IServiceCollection AddBloomGuard(this IServiceCollection services, string name, Func<IServiceProvider, IGuardSource> source)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        ArgumentNullException.ThrowIfNull(source);
        if (services.Any(service => service.ServiceType == typeof(BloomGuard) && name.Equals(service.ServiceKey)))
        {
            return services;
        }

        services.AddLogging();
        services.AddMetrics();
        const string Default = ResilientCacheServiceCollectionExtensions.DefaultCacheName;
        services.AddLiveSettings<CacheOptions>(name, $"Resilience:Caches:{name}", name == Default ? null : $"Resilience:Caches:{Default}");
        services.TryAddSingleton<GuardMetrics>();
        services.AddKeyedSingleton(name, (provider, _) => Create(provider, name, source(provider)));
        services.AddKeyedSingleton<ICacheGuard>(name, (provider, _) => provider.GetRequiredKeyedService<BloomGuard>(name));
        services.AddSingleton<IHostedService>(provider => new GuardService(provider.GetRequiredKeyedService<BloomGuard>(name)));
        services.AddHealthChecks().Add(new HealthCheckRegistration(
            $"guard:{name}",
            provider => new GuardHealthCheck(provider.GetRequiredKeyedService<BloomGuard>(name)),
            HealthStatus.Degraded,
            (string[])["resilience", "cache", "guard", "ready"]));
        return services;
    }

    /// <summary>Puts a bloom guard in front of the cache: see <see cref="AddBloomGuard(IServiceCollection, string, Func{IServiceProvider, IGuardSource})"/>.</summary>
    /// <param name="builder">The cache.</param>
    /// <param name="source">Makes the source of the keys; called once.</param>
    /// <returns>The builder.</returns>
    public static CacheBuilder AddBloomGuard(this CacheBuilder builder, Func<IServiceProvider, IGuardSource> source)
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Services.AddBloomGuard(builder.Name, source);
        return builder;
    }

    private static BloomGuard Create(IServiceProvider provider, string name, IGuardSource source)
    {
        var settings = provider.GetRequiredKeyedService<LiveSettings<CacheOptions>>(name);
        IGuardJournal? journal = provider.GetKeyedService<IGuardJournal>(name);
        var guard = new BloomGuard(
            name,
            settings.Current.Guard,
            source,
            journal,
            provider.GetService<TimeProvider>() ?? TimeProvider.System,
            provider.GetRequiredService<ILoggerFactory>().CreateLogger("Resilience.Caching.Guard"));
        settings.OnChange(options => guard.Configure(options.Guard));
        provider.GetRequiredService<GuardMetrics>().Observe(guard);
        return guard;
    }
}
