using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Resilience.Caching;
using Resilience.TestKit;

namespace Resilience.Redis.Tests.Caching;

/// <summary>One node: a container with one cache over Redis, started.</summary>
internal sealed class RedisNode : IAsyncDisposable
{
    private readonly ServiceProvider _services;

    private RedisNode(ServiceProvider services) => _services = services;

    public System.Collections.Concurrent.ConcurrentQueue<Exception> Failures { get; } = [];

    public ResilientCache Cache => _services.GetRequiredService<ResilientCache>();

    public IServiceProvider Services => _services;

    public static async Task<RedisNode> StartAsync(string endpoint, string prefix, Action<CacheOptions>? configure = null, Action<IServiceCollection>? register = null)
    {
        var services = new ServiceCollection();
        services.AddResilienceRedis(options =>
        {
            options.Configuration = endpoint;
            options.KeyPrefix = prefix;
            options.ConnectTimeout = TimeSpan.FromMilliseconds(500);
        });
        services.AddResilientCache(options =>
        {
            options.Jitter = 0;
            options.Expiration = TimeSpan.FromMinutes(5);

            // Generous, so that a busy machine is not taken for a broken Redis; tests of faults say Impatient.
            options.Shared.HardTimeout = TimeSpan.FromSeconds(10);
            options.Shared.SoftTimeout = TimeSpan.FromSeconds(10);
            options.Shared.Breaker.OpenFor = TimeSpan.FromMilliseconds(200);
            options.Shared.Backplane.Heartbeat = TimeSpan.FromMilliseconds(200);
            configure?.Invoke(options);
        });
        register?.Invoke(services);
        var node = new RedisNode(services.BuildServiceProvider());
        foreach (IHostedLifecycleService hosted in node._services.GetServices<IHostedService>().OfType<IHostedLifecycleService>())
        {
            await hosted.StartingAsync(default);
        }

        foreach (IHostedService hosted in node._services.GetServices<IHostedService>())
        {
            await hosted.StartAsync(default);
        }

        Action<Exception>? before = node.Cache.Core.Shared!.Failed;
        node.Cache.Core.Shared.Failed = exception =>
        {
            node.Failures.Enqueue(exception);
            before?.Invoke(exception);
        };
        return node;
    }

    /// <summary>Gives up on Redis quickly, as the tests of its faults want it.</summary>
    public static void Impatient(CacheOptions options)
    {
        options.Shared.HardTimeout = TimeSpan.FromMilliseconds(250);
        options.Shared.SoftTimeout = TimeSpan.FromMilliseconds(100);
    }

    /// <summary>Waits until the node hears of others' changes.</summary>
    public Task UntilUpAsync() => Eventually.TrueAsync(() => Cache.Upkeep.Link!.IsUp, "the node hears");

    public ValueTask<string> GetAsync(string key, Func<string> source, string[]? tags = null) =>
        Cache.GetOrCreateAsync(key, source, static (make, _) => new ValueTask<string>(make()), tags: tags);

    public ValueTask DisposeAsync() => _services.DisposeAsync();
}
