using Microsoft.Extensions.DependencyInjection.Extensions;
using Resilience.Caching.Guard;
using Resilience.Redis;
using Resilience.Redis.Guard;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Shares bloom guards between nodes through Redis.</summary>
public static class RedisGuardServiceCollectionExtensions
{
    /// <summary>
    /// Gives every bloom guard its journal in Redis, so that a key that one node adds is refused by none. Needs
    /// <see cref="RedisServiceCollectionExtensions.AddResilienceRedis(IServiceCollection, Action{RedisOptions})"/>, which it calls.
    /// Where no Redis is configured guards stay local.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <returns>The services.</returns>
    /// <remarks>Calling it twice is harmless. Must be called on every node that reads or writes through a guard of the same name.</remarks>
    public static IServiceCollection AddRedisGuardJournal(this IServiceCollection services)
    {
        ArgumentNullException.ThrowIfNull(services);
        services.AddResilienceRedis();
        services.TryAddKeyedSingleton<IGuardJournal>(KeyedService.AnyKey, (provider, key) =>
        {
            RedisConnection connection = provider.GetRequiredService<RedisConnection>();
            return connection.IsConfigured ? new RedisGuardJournal(connection, (string)key!) : null!;
        });
        return services;
    }
}
