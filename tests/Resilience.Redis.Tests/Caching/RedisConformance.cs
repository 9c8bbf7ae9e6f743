using Resilience.Caching.Shared;
using Resilience.Caching.Tests.Shared;
using Resilience.Redis.Caching;
using Resilience.TestKit;

namespace Resilience.Redis.Tests.Caching;

public sealed class RedisConformance(SharedRedis redis) : SharedTierConformance
{
    private protected override async Task<ISharedTier> CreateAsync()
    {
        RedisServer server = await redis.GetAsync();
        return new RedisSharedTier(new RedisConnection(new RedisOptions { Configuration = server.Endpoint, KeyPrefix = $"{Guid.NewGuid():N}:" }));
    }
}

/// <summary>A cluster of one node answers a command over several slots with an error, like one of many.</summary>
public sealed class RedisClusterConformance : SharedTierConformance, IAsyncLifetime
{
    private RedisServer? _server;

    public async ValueTask InitializeAsync()
    {
        _server = await RedisServer.StartNewAsync("cluster-enabled yes");
        await using var connection = new RedisConnection(new RedisOptions { Configuration = _server.Endpoint });
        StackExchange.Redis.IDatabase database = (await connection.GetAsync()).GetDatabase();
        await database.ExecuteAsync("CLUSTER", "ADDSLOTSRANGE", "0", "16383").OnPool();
        await Eventually.TrueAsync(async () => (await database.ExecuteAsync("CLUSTER", "INFO").OnPool()).ToString()!.Contains("cluster_state:ok", StringComparison.Ordinal), "the cluster is up");
    }

    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }
    }

    private protected override Task<ISharedTier> CreateAsync() =>
        Task.FromResult<ISharedTier>(new RedisSharedTier(new RedisConnection(new RedisOptions { Configuration = _server!.Endpoint, KeyPrefix = $"{Guid.NewGuid():N}:" })));
}
