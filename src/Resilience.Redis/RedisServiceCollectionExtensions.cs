using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Resilience.Caching.Shared;
using Resilience.Redis;
using Resilience.Redis.Caching;
using Resilience.Settings;
using StackExchange.Redis;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers Redis for everything of the kit that coordinates nodes.</summary>
public static class RedisServiceCollectionExtensions
{
    /// <summary>
    /// Adds the connection to Redis and what stands on it: the caches' shared tier, backplane and leases. Settings are <c>Resilience:Redis</c>;
    /// without a <see cref="RedisOptions.Configuration"/> nothing is connected and caches stay local. Nothing connects before the host
    /// starts or a cache is used. Calling it twice is harmless.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="configure">Settings in code; the configuration wins over them.</param>
    public static IServiceCollection AddResilienceRedis(this IServiceCollection services, Action<RedisOptions>? configure = null) =>
        Add(services, configure, null);

    /// <summary>Adds what stands on Redis over a multiplexer of the application, which stays its owner.</summary>
    /// <param name="services">The services.</param>
    /// <param name="multiplexer">Gets the multiplexer; called once, at the first use.</param>
    /// <param name="configure">Settings in code; those about connecting have no effect here.</param>
    public static IServiceCollection AddResilienceRedis(this IServiceCollection services, Func<IServiceProvider, IConnectionMultiplexer> multiplexer, Action<RedisOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(multiplexer);
        return Add(services, configure, multiplexer);
    }

    private static IServiceCollection Add(IServiceCollection services, Action<RedisOptions>? configure, Func<IServiceProvider, IConnectionMultiplexer>? multiplexer)
    {
        ArgumentNullException.ThrowIfNull(services);
        const string Name = "Redis";
        services.AddLiveSettings<RedisOptions>(Name, "Resilience:Redis");
        if (configure is not null)
        {
            services.Configure(Name, configure);
        }

        services.TryAddSingleton(provider =>
        {
            RedisOptions options = provider.GetRequiredKeyedService<LiveSettings<RedisOptions>>(Name).Current;
            return multiplexer is null
                ? new RedisConnection(options, provider.GetService<TimeProvider>(), provider.GetService<ILogger<RedisConnection>>())
                : new RedisConnection(options, multiplexer(provider));
        });
        services.TryAddSingleton<ISharedTier>(provider => OrNothing(provider, connection => new RedisSharedTier(connection))!);
        services.TryAddSingleton<IBackplane>(provider => OrNothing(provider, connection => new RedisBackplane(connection))!);
        services.TryAddSingleton<ILeaseStore>(provider => OrNothing(provider, connection => new RedisLeaseStore(connection))!);
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IHostedService, RedisStarter>());
        return services;
    }

    /// <summary>Nothing, where no Redis is configured: whoever asks for it does without.</summary>
    private static T? OrNothing<T>(IServiceProvider provider, Func<RedisConnection, T> make)
        where T : class
    {
        RedisConnection connection = provider.GetRequiredService<RedisConnection>();
        return connection.IsConfigured ? make(connection) : null;
    }

    /// <summary>Begins to connect when the host starts, and does not wait for it.</summary>
    private sealed class RedisStarter(RedisConnection connection) : IHostedService
    {
        public Task StartAsync(CancellationToken cancellationToken)
        {
            if (connection.IsConfigured)
            {
                // A failure is met again, and counted, by whoever uses the connection.
                connection.GetAsync().Observe();
            }

            return Task.CompletedTask;
        }

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
