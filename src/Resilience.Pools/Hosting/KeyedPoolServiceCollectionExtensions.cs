using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Logging;
using Resilience.Context;
using Resilience.Pools;
using Resilience.Settings;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers pools with a pool per key.</summary>
public static class KeyedPoolServiceCollectionExtensions
{
    /// <summary>
    /// Adds a <see cref="KeyedResourcePool{TKey, T}"/> as a keyed singleton under a name. What each key gets is configured in
    /// <c>Resilience:Pools:&lt;name&gt;</c> over what stands in <c>Resilience:Pools:Default</c> and reloads live. The host drains it; it has
    /// metrics and a health check, of which the backend's state is the worst of any key and degrades only. A second call for the same name and types does nothing.
    /// </summary>
    /// <typeparam name="TKey">The key.</typeparam>
    /// <typeparam name="T">The resource.</typeparam>
    /// <param name="services">The services.</param>
    /// <param name="name">The name; the DI key.</param>
    /// <param name="factory">Gives what makes the factory of a key's resources.</param>
    /// <param name="maxTotal">The most resources of all keys together, from 1.</param>
    /// <param name="keyIdleTimeout">After how long without a caller and a lease a key is forgotten, and its idle resources destroyed; 5 minutes when <see langword="null"/>.</param>
    public static PoolBuilder AddKeyedResourcePool<TKey, T>(this IServiceCollection services, string name, Func<IServiceProvider, Func<TKey, IResourceFactory<T>>> factory, int maxTotal = 100, TimeSpan? keyIdleTimeout = null)
        where TKey : notnull
        where T : class
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(factory);
        var builder = new PoolBuilder(services, name);
        if (services.Any(service => service.ServiceType == typeof(KeyedResourcePool<TKey, T>) && Equals(service.ServiceKey, name)))
        {
            return builder;
        }

        services.AddMetrics();
        services.TryAddSingleton<PoolMetrics>();
        services.AddLiveSettings<PoolOptions>(Options.Options.DefaultName, $"{PoolServiceCollectionExtensions.SectionPath}:Default");
        services.AddLiveSettings<PoolOptions>(name, $"{PoolServiceCollectionExtensions.SectionPath}:{name}", $"{PoolServiceCollectionExtensions.SectionPath}:Default");
        services.AddKeyedSingleton(name, (provider, _) =>
        {
            LiveSettings<PoolOptions> settings = provider.GetRequiredKeyedService<LiveSettings<PoolOptions>>(name);
            PoolOptions perKey = settings.Current.Copy();
            perKey.DetectNestedAcquire ??= PoolServiceCollectionExtensions.IsDevelopment(provider) ? true : null;
            var options = new KeyedPoolOptions { PerKey = perKey, MaxTotal = maxTotal, KeyIdleTimeout = keyIdleTimeout ?? TimeSpan.FromMinutes(5) };
            var pool = new KeyedResourcePool<TKey, T>(
                name,
                factory(provider),
                options,
                provider.GetService<TimeProvider>(),
                provider.GetService<ILoggerFactory>()?.CreateLogger("Resilience.Pools"),
                provider.GetRequiredService<PoolMetrics>())
            {
                Pipeline = NamedPipelines.Find(provider, perKey.Pipeline, settings.Path),
            };
            settings.OnChange(pool.Apply);
            return pool;
        });
        services.AddSingleton<IResourcePool>(provider => provider.GetRequiredKeyedService<KeyedResourcePool<TKey, T>>(name));
        services.AddSingleton<IHostedBlock>(provider => new HostedKeyedPool<TKey, T>(provider.GetRequiredKeyedService<KeyedResourcePool<TKey, T>>(name)));
        services.AddHostedService<PoolsHost>();
        services.AddHealthChecks().Add(new HealthCheckRegistration(
            $"pool:{name}",
            provider => new PoolHealthCheck(
                provider.GetRequiredKeyedService<KeyedResourcePool<TKey, T>>(name), () => provider.GetRequiredKeyedService<LiveSettings<PoolOptions>>(name).Current.LeakThreshold),
            failureStatus: HealthStatus.Degraded, // one key's backend that is down must not take the whole service out of rotation
            tags: ["ready", "pool"]));
        return builder;
    }
}
