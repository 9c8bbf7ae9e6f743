using Resilience.Caching.Tests.Shared;
using Resilience.Caching.Telemetry;
using Resilience.TestKit;
using Microsoft.Extensions.Caching.Hybrid;

namespace Resilience.Caching.Tests.Invalidation;

/// <summary>What other nodes say of tags that this node knew nothing of: it is news to whatever the node has or is loading.</summary>
public sealed class TagNewsTests
{
    private static readonly CacheEntryOptions LocalOnly = new() { TierFlags = HybridCacheEntryFlags.DisableDistributedCache };
    private readonly ManualTimeProvider _time = new();
    private readonly FakeSharedTier _tier = new();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Heard_TagOfAnEntryThatIsKeptHereAlone_Invalidates(bool isCleared)
    {
        await using ResilientCache one = await UpAsync();
        await using ResilientCache two = await UpAsync();
        await one.GetAsync("key", "old", LocalOnly, ["tag"]);
        Assert.True(one.TryGet<string>("key").HasValue);
        await (isCleared ? two.ClearAsync() : two.RemoveByTagAsync("tag"));
        await HeardAsync(one, two);
        Assert.False(one.TryGet<string>("key").HasValue);
    }

    [Fact]
    public async Task Heard_TagThatTheFactoryChose_Invalidates()
    {
        await using ResilientCache one = await UpAsync();
        await using ResilientCache two = await UpAsync();
        await one.LoadAsync<string>("key", static load =>
        {
            load.Tags = ["chosen"];
            return "old";
        });
        Assert.True(one.TryGet<string>("key").HasValue);
        await two.RemoveByTagAsync("chosen");
        await HeardAsync(one, two);
        Assert.False(one.TryGet<string>("key").HasValue);
    }

    /// <summary>What was never compared with a version is not made good by another's reading it: the word of it still counts, however late.</summary>
    [Fact]
    public async Task Heard_VersionThatWasReadBefore_Invalidates()
    {
        await using ResilientCache one = await UpAsync();
        await using ResilientCache two = await UpAsync();
        await one.GetAsync("local", "old", LocalOnly, ["tag"]);
        await one.LoadAsync<string>("chosen", static load =>
        {
            load.Tags = ["tag"];
            return "old";
        });
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _tier.Before = call => call == "publish" ? gate.Task : Task.CompletedTask;
        await two.RemoveByTagAsync("tag");
        await one.GetAsync("other", "value", tags: ["tag"]);
        gate.SetResult();
        await HeardAsync(one, two);
        Assert.False(one.TryGet<string>("local").HasValue);
        Assert.False(one.TryGet<string>("chosen").HasValue);
    }

    [Fact]
    public async Task Heard_TagThatARunningFactoryChoosesAfterwards_DiscardsItsValue()
    {
        await using ResilientCache one = await UpAsync();
        await using ResilientCache two = await UpAsync();
        var gate = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> load = one.GetOrCreateAsync<string>("key", async (load, _) =>
        {
            string value = await gate.Task;
            load.Tags = ["chosen"];
            return value;
        }).AsTask();
        await two.RemoveByTagAsync("chosen");
        await HeardAsync(one, two);
        gate.SetResult("old");
        Assert.Equal("old", await load.Soon());
        Assert.False(one.TryGet<string>("key").HasValue);
    }

    /// <summary>What was read of a version before the node lost its trust may be older than what it missed.</summary>
    [Fact]
    public async Task Missed_WhileTheVersionIsOnItsWay_IsFoundOutByReadingItAgain()
    {
        await using ResilientCache one = await UpAsync();
        await using ResilientCache two = await UpAsync();
        await two.SetAsync("key", "old", tags: ["tag"]);
        await HeardAsync(one, two);
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var isRead = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _tier.After = call =>
        {
            if (call != "versions")
            {
                return Task.CompletedTask;
            }

            isRead.TrySetResult();
            return gate.Task;
        };
        Task<string> first = one.GetAsync("key", "new", tags: ["tag"]).AsTask();
        await isRead.Task.Soon();
        _tier.DropsMessages = true;
        await two.RemoveByTagAsync("tag");
        one.Core.Distrust(); // as it does once it notices that a message is missing
        gate.SetResult();
        await first.Soon();
        Assert.Equal("new", await one.GetAsync("key", "new", tags: ["tag"]));
    }

    /// <summary>The first value with such a tag stays on its node, as its version may count an invalidation from before; the next one is shared.</summary>
    [Fact]
    public async Task Load_TagsThatFactoriesChoose_KeepOnlyTheFirstValueFromTheSharedTier()
    {
        await using ResilientCache cache = TestCache.New(_time, shared: _tier);
        await LoadAsync("first");
        TestCache.Until(() => cache.Core.Invalidations.Tags.Get("chosen").FirstKnownAt != long.MaxValue, "the tag's version");
        Assert.True(cache.TryGet<string>("first").HasValue);
        _time.Advance(TimeSpan.FromMilliseconds(1));
        await LoadAsync("second");
        Assert.DoesNotContain("v1:test:first", _tier.Keys);
        Assert.Contains("v1:test:second", _tier.Keys);

        async Task LoadAsync(string key)
        {
            await cache.LoadAsync<string>(key, static load =>
            {
                load.Tags = ["chosen"];
                return "value";
            });
            await cache.Writer.DrainAsync(TimeSpan.FromSeconds(30));
        }
    }

    private async Task<ResilientCache> UpAsync()
    {
        ResilientCache cache = TestCache.New(
            _time,
            static options =>
            {
                options.Shared.HardTimeout = options.Shared.SoftTimeout = TimeSpan.FromSeconds(20);
                options.Shared.Backplane.Heartbeat = TimeSpan.FromMinutes(2);
                options.Expiration = TimeSpan.FromHours(10);
            },
            _tier,
            hasBackplane: true);
        cache.Upkeep.Start();
        await _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(50), () => cache.Upkeep.Link!.IsUp && cache.Snapshot().Distrusted > 0, "the channel");
        return cache;
    }

    /// <summary>Waits until a node has heard all that another has said so far.</summary>
    private static async Task HeardAsync(ResilientCache node, ResilientCache from)
    {
        TestCache.Until(() => from.Upkeep.Link!.Announcer.Waiting == 0, "the announcements");
        long heard = node.Core.Statistics.Read(CacheCount.MessagesHeard);
        await from.Upkeep.Link!.Announcer.PingAsync();
        TestCache.Until(() => node.Core.Statistics.Read(CacheCount.MessagesHeard) > heard, "a ping");
        await node.Upkeep.Link!.Announcer.PingAsync();
        TestCache.Until(() => node.Core.Statistics.Read(CacheCount.MessagesHeard) > heard + 1, "another");
    }
}
