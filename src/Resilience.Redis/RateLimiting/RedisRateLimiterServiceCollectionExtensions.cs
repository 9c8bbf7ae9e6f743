using System.Diagnostics.Metrics;
using System.Threading.RateLimiting;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Resilience.Redis;
using Resilience.Settings;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers limits of the whole fleet.</summary>
public static class RedisRateLimiterServiceCollectionExtensions
{
    /// <summary>
    /// Adds a limit that all nodes share, as a keyed <see cref="RedisRateLimiter"/> and a keyed <see cref="RateLimiter"/>. Its settings are at
    /// <c>Resilience:Limits:&lt;name&gt;</c>. Where no Redis is configured each node has its share: set <see cref="RedisRateLimiterOptions.ExpectedNodes"/>.
    /// Needs <see cref="RedisServiceCollectionExtensions.AddResilienceRedis(IServiceCollection, Action{RedisOptions})"/>, which it calls. Calling it
    /// twice for a name keeps the first.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="name">The limit's name; options name, DI key and metric tag at once.</param>
    /// <param name="configure">Settings in code; the configuration wins over them.</param>
    public static IServiceCollection AddRedisRateLimiter(this IServiceCollection services, string name, Action<RedisRateLimiterOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        services.AddResilienceRedis();
        services.AddMetrics();
        services.TryAddSingleton(provider => new RedisMetrics(provider.GetRequiredService<IMeterFactory>()));
        if (services.Any(service => service.ServiceType == typeof(RedisRateLimiter) && name.Equals(service.ServiceKey)))
        {
            return services;
        }

        services.AddLiveSettings<RedisRateLimiterOptions>(name, $"{RedisRateLimiter.SettingsPath}:{name}");
        if (configure is not null)
        {
            services.Configure(name, configure);
        }

        services.AddKeyedSingleton(name, (provider, _) => new RedisRateLimiter(
            RedisRateLimiter.Ledger(provider.GetRequiredService<RedisConnection>(), name),
            provider.GetRequiredKeyedService<LiveSettings<RedisRateLimiterOptions>>(name),
            provider.GetRequiredService<TimeProvider>(),
            provider.GetRequiredService<ILogger<RedisRateLimiter>>(),
            provider.GetRequiredService<RedisMetrics>(),
            Random.Shared.NextDouble));
        services.TryAddKeyedSingleton<RateLimiter>(name, static (provider, key) => provider.GetRequiredKeyedService<RedisRateLimiter>(key));
        return services;
    }
}
