using Microsoft.Extensions.DependencyInjection.Extensions;
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
    /// <c>Resilience:Pools:&lt;name&gt;</c>, read at start. The host drains it. A second call for the same name and types does nothing.
    /// </summary>
    /// <typeparam name="TKey">The key.</typeparam>
    /// <typeparam name="T">The resource.</typeparam>
    /// <param name="services">The services.</param>
    /// <param name="name">The name; the DI key.</param>
    /// <param name="factory">Gives what makes the factory of a key's resources.</param>
    /// <param name="maxTotal">The most resources of all keys together, from 1.</param>
    /// <param name="keyIdleTimeout">After how long without a resource or a caller a key is forgotten; 5 minutes when <see langword="null"/>.</param>
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
        services.AddLiveSettings<PoolOptions>(name, $"{PoolServiceCollectionExtensions.SectionPath}:{name}");
        services.AddKeyedSingleton(name, (provider, _) => new KeyedResourcePool<TKey, T>(
            name,
            factory(provider),
            new KeyedPoolOptions
            {
                PerKey = provider.GetRequiredKeyedService<LiveSettings<PoolOptions>>(name).Current,
                MaxTotal = maxTotal,
                KeyIdleTimeout = keyIdleTimeout ?? TimeSpan.FromMinutes(5),
            },
            provider.GetService<TimeProvider>(),
            provider.GetService<ILoggerFactory>()?.CreateLogger("Resilience.Pools"),
            provider.GetRequiredService<PoolMetrics>())
        {
            Pipeline = NamedPipelines.Find(provider, provider.GetRequiredKeyedService<LiveSettings<PoolOptions>>(name).Current.Pipeline, $"{PoolServiceCollectionExtensions.SectionPath}:{name}"),
        });
        services.AddSingleton<IResourcePool>(provider => provider.GetRequiredKeyedService<KeyedResourcePool<TKey, T>>(name));
        services.AddSingleton<IHostedBlock>(provider => new HostedKeyedPool<TKey, T>(provider.GetRequiredKeyedService<KeyedResourcePool<TKey, T>>(name)));
        services.AddHostedService<PoolsHost>();
        return builder;
    }
}
