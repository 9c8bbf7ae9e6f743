using Resilience.Caching;
using Resilience.TestKit;

[assembly: AssemblyFixture(typeof(SharedRedis))]

namespace Resilience.Redis.Tests.Caching;

public sealed class TwoNodeTests(SharedRedis redis)
{
    private readonly string _prefix = $"{Guid.NewGuid():N}:";

    [Fact]
    public async Task Get_LoadedOnOneNode_ComesFromRedisOnTheOther()
    {
        (RedisNode one, RedisNode two) = await StartAsync();
        await using (one)
        await using (two)
        {
            Assert.Equal("value", await one.GetAsync("key", () => "value", ["tag"]));
            await one.Cache.Writer.DrainAsync(Eventually.Patience);
            Assert.Equal("value", await two.GetAsync("key", () => "other", ["tag"]));
            Assert.Equal(1, two.Cache.Snapshot().SharedHits);
            Assert.Equal(0, two.Cache.Snapshot().SourceLoads);
        }
    }

    [Theory]
    [InlineData("remove")]
    [InlineData("set")]
    [InlineData("expire")]
    [InlineData("tag")]
    [InlineData("clear")]
    public async Task Invalidate_OnOneNode_IsHeardOnTheOther(string how)
    {
        (RedisNode one, RedisNode two) = await StartAsync();
        await using (one)
        await using (two)
        {
            await one.GetAsync("key", () => "old", ["tag"]);
            await one.Cache.Writer.DrainAsync(Eventually.Patience);
            Assert.Equal("old", await two.GetAsync("key", () => "?", ["tag"]));
            Task change = how switch
            {
                "remove" => one.Cache.RemoveAsync("key").AsTask(),
                "set" => one.Cache.SetAsync("key", "new").AsTask(),
                "expire" => one.Cache.ExpireAsync("key").AsTask(),
                "tag" => one.Cache.RemoveByTagAsync("tag").AsTask(),
                _ => one.Cache.ClearAsync().AsTask(),
            };
            await change;
            await Eventually.TrueAsync(() => two.Cache.TryGet<string>("key") is not { HasValue: true, IsStale: false }, "the other node has dropped its copy");
            Assert.Equal("new", await two.GetAsync("key", () => "new", ["tag"]));
        }
    }

    [Fact]
    public async Task Get_ThousandCallersOnTwoNodesWithLeases_RunOneFactory()
    {
        (RedisNode one, RedisNode two) = await StartAsync(options =>
        {
            options.Shared.Leases = true;
            options.Shared.LeaseDuration = options.Shared.LeaseWait = TimeSpan.FromMinutes(2);
        });
        await using (one)
        await using (two)
        {
            int calls = 0;
            string[] values = await Task.WhenAll(Enumerable.Range(0, 1000).Select(i => Task.Run(async () =>
                await (i % 2 == 0 ? one : two).Cache.GetOrCreateAsync("key", async _ =>
                {
                    Interlocked.Increment(ref calls);
                    await Task.Delay(50, CancellationToken.None);
                    return "value";
                }))));
            Assert.All(values, value => Assert.Equal("value", value));
            Assert.Equal(1, calls);
        }
    }

    private async Task<(RedisNode One, RedisNode Two)> StartAsync(Action<CacheOptions>? configure = null)
    {
        RedisServer server = await redis.GetAsync();
        RedisNode one = await RedisNode.StartAsync(server.Endpoint, _prefix, configure);
        RedisNode two = await RedisNode.StartAsync(server.Endpoint, _prefix, configure);
        await one.UntilUpAsync();
        await two.UntilUpAsync();
        return (one, two);
    }
}
