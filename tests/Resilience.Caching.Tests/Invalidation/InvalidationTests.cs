using Resilience.Caching.Tests.Shared;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Invalidation;

public sealed class InvalidationTests
{
    public enum How
    {
        Key,
        Tag,
        Clear,
        Set,
        ExpireKey,
        ExpireTag,
    }

    public static TheoryData<How, bool> Ways()
    {
        var ways = new TheoryData<How, bool>();
        foreach (How how in Enum.GetValues<How>())
        {
            ways.Add(how, false);
            ways.Add(how, true);
        }

        return ways;
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task Invalidate_DuringALoad_LaterCallersNeverSeeTheOlderValue(How how, bool isShared)
    {
        FakeSharedTier? tier = isShared ? new FakeSharedTier() : null;
        var time = new ManualTimeProvider();
        await using ResilientCache cache = TestCache.New(time, shared: tier);
        var gate = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> load = cache.GetAsync("key", _ => new ValueTask<string>(gate.Task), tags: ["tag"]).AsTask();
        await Invalidate(cache, how, time);
        Task<string> later = cache.GetAsync("key", "new", tags: ["tag"]).AsTask();
        Assert.Equal("new", await later.Soon());
        gate.SetResult("old");

        Assert.Equal("old", await load);
        await cache.Writer.DrainAsync(TimeSpan.FromSeconds(30));
        Assert.Equal("new", await cache.GetCachedAsync("key"));
        if (isShared)
        {
            await using ResilientCache other = TestCache.New(time, shared: tier);
            Assert.Equal("new", await other.GetCachedAsync("key", ["tag"]));
        }
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task Invalidate_AfterALoad_IsSeenByTheNextCall(How how, bool isShared)
    {
        FakeSharedTier? tier = isShared ? new FakeSharedTier() : null;
        var time = new ManualTimeProvider();
        await using ResilientCache cache = TestCache.New(time, shared: tier);
        await cache.GetAsync("key", "old", tags: ["tag"]);
        await cache.Writer.DrainAsync(TimeSpan.FromSeconds(30));
        await Invalidate(cache, how, time);
        Assert.Equal("new", await cache.GetAsync("key", "new", tags: ["tag"]));
    }

    [Theory]
    [InlineData(How.Key)]
    [InlineData(How.Tag)]
    [InlineData(How.Clear)]
    public async Task Remove_ThenTheSourceFails_NothingBringsTheValueBack(How how)
    {
        var tier = new FakeSharedTier();
        var time = new ManualTimeProvider();
        await using ResilientCache cache = TestCache.New(time, shared: tier);
        await cache.GetAsync("key", "old", tags: ["tag"]);
        await cache.Writer.DrainAsync(TimeSpan.FromSeconds(30));
        await Invalidate(cache, how, time);
        await Assert.ThrowsAsync<InvalidDataException>(async () => await cache.GetAsync<string>("key", _ => throw new InvalidDataException(), tags: ["tag"]));
        await using ResilientCache other = TestCache.New(time, shared: tier);
        await Assert.ThrowsAsync<InvalidDataException>(async () => await other.GetAsync<string>("key", _ => throw new InvalidDataException(), tags: ["tag"]));
    }

    [Theory]
    [InlineData(How.ExpireKey)]
    [InlineData(How.ExpireTag)]
    public async Task Expire_ThenTheSourceFails_TheOldValueStandsIn(How how)
    {
        var tier = new FakeSharedTier();
        var time = new ManualTimeProvider();
        await using ResilientCache cache = TestCache.New(time, shared: tier);
        await cache.GetAsync("key", "old", tags: ["tag"]);
        await cache.Writer.DrainAsync(TimeSpan.FromSeconds(30));
        await Invalidate(cache, how, time);
        Assert.Equal("old", await cache.GetAsync<string>("key", _ => throw new InvalidDataException(), tags: ["tag"]));
        await using ResilientCache other = TestCache.New(time, shared: tier);
        Assert.Equal("old", await other.GetAsync<string>("key", _ => throw new InvalidDataException(), tags: ["tag"]));
    }

    [Fact]
    public async Task RemoveByTag_FactoryChoosesItsTags_JoinersOfALaterTimeGetANewLoad()
    {
        await using ResilientCache cache = TestCache.New();
        var gate = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> first = cache.GetOrCreateAsync<string>("key", async (load, _) =>
        {
            load.Tags = ["chosen"];
            return await gate.Task;
        }).AsTask();
        await cache.RemoveByTagAsync("chosen");
        int calls = 0;
        Task<string> second = cache.GetOrCreateAsync<string>("key", (load, _) =>
        {
            calls++;
            load.Tags = ["chosen"];
            return new ValueTask<string>("new");
        }).AsTask();
        gate.SetResult("old");

        Assert.Equal("old", await first);
        Assert.Equal("new", await second);
        Assert.Equal(1, calls);
    }

    [Fact]
    public async Task RemoveByTag_OtherTags_KeepTheirEntries()
    {
        await using ResilientCache cache = TestCache.New();
        await cache.GetAsync("a", "1", tags: ["red"]);
        await cache.GetAsync("b", "2", tags: ["blue"]);
        await cache.RemoveByTagAsync("red");
        Assert.Equal("2", await cache.GetCachedAsync("b"));
        Assert.False(cache.TryGet<string>("a").HasValue);
    }

    [Fact]
    public async Task Tags_MoreThanAreTracked_ForgottenOnesLoseTheirEntriesNotTheirInvalidations()
    {
        await using ResilientCache cache = TestCache.New(configure: options => options.MaxTrackedTags = 16);
        for (int i = 0; i < 200; i++)
        {
            await cache.GetAsync($"key{i}", "old", tags: [$"tag{i}"]);
        }

        Assert.InRange(cache.Core.Invalidations.Tags.Count, 1, 16);
        for (int i = 0; i < 200; i++)
        {
            await cache.RemoveByTagAsync($"tag{i}");
            Assert.Equal("new", await cache.GetAsync($"key{i}", "new", tags: [$"tag{i}"]));
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Remove_WhileTheLoadedValueIsOnItsWayToTheSharedTier_WinsThere(bool isAtomic)
    {
        var tier = new FakeSharedTier { IsAtomic = isAtomic };
        await using ResilientCache cache = TestCache.New(shared: tier);
        var arrived = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        int writes = 0;
        tier.Before = async call =>
        {
            if (call == "write" && Interlocked.Increment(ref writes) == 1)
            {
                arrived.SetResult();
                await release.Task;
            }
        };
        await cache.GetAsync("key", "old");
        await arrived.Task;
        Task removal = cache.RemoveAsync("key").AsTask();
        release.SetResult();
        await removal;
        await cache.Writer.DrainAsync(TimeSpan.FromSeconds(30));
        await using ResilientCache other = TestCache.New(shared: tier);
        Assert.Equal("new", await other.GetAsync("key", "new"));
    }

    [Fact]
    public async Task Remove_FlightReadsTheSharedTierBeforeTheTombstone_IsForgotten()
    {
        var tier = new FakeSharedTier();
        await using ResilientCache cache = TestCache.New(shared: tier);
        await using ResilientCache writer = TestCache.New(shared: tier);
        await writer.SetAsync("key", "old");
        await cache.GetAsync("warm", "x");
        Task<string>? between = null;
        tier.Before = async call =>
        {
            if (call == "write" && between is null)
            {
                // The removal is on its way: a flight that begins now still finds the old value.
                between = cache.GetAsync("key", "source").AsTask();
                Assert.Equal("old", await between);
            }
        };
        await cache.RemoveAsync("key");
        Assert.NotNull(between);
        Assert.Equal("new", await cache.GetAsync("key", "new"));
    }

    private static async Task Invalidate(ResilientCache cache, How how, ManualTimeProvider time)
    {
        switch (how)
        {
            case How.Key:
                await cache.RemoveAsync("key");
                break;
            case How.Tag:
                await cache.RemoveByTagAsync("tag");
                break;
            case How.Clear:
                await cache.ClearAsync();
                break;
            case How.Set:
                await cache.SetAsync("key", "set", new CacheEntryOptions { Expiration = TimeSpan.FromMilliseconds(1) }, ["tag"]);
                time.Advance(TimeSpan.FromMilliseconds(2));
                Assert.False(cache.TryGet<string>("key") is { HasValue: true, IsStale: false });
                break;
            case How.ExpireKey:
                await cache.ExpireAsync("key");
                break;
            case How.ExpireTag:
                await cache.ExpireByTagAsync("tag");
                break;
        }
    }
}
