using Microsoft.Extensions.Caching.Hybrid;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Shared;

/// <summary>Looks into the shared tier that somebody else waits for too, or that are for nothing.</summary>
public sealed class LookTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly FakeSharedTier _tier = new();

    [Fact]
    public async Task TryGetMany_CallerGivesUp_WhoJoinedTheLookStillGetsTheValue()
    {
        await using ResilientCache cache = TestCache.New(_time, shared: _tier);
        await using ResilientCache other = TestCache.New(_time, shared: _tier);
        await other.SetAsync("key", "value");
        await cache.GetAsync("warm", "x");
        var read = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _tier.Before = call => call == "readmany" && read.TrySetResult() ? release.Task : Task.CompletedTask;
        using var gaveUp = new CancellationTokenSource();
        Task look = cache.TryGetManyAsync<string>(["key"], gaveUp.Token).AsTask();
        await read.Task.Soon();
        Task<string> joined = cache.GetAsync("key", "source", new CacheEntryOptions { TierFlags = HybridCacheEntryFlags.DisableUnderlyingData }).AsTask();
        Assert.Equal(1, cache.Snapshot().Joined);
        await gaveUp.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => look.Soon());
        release.SetResult();
        Assert.Equal("value", await joined.Soon());
        TestCache.Until(() => cache.Snapshot().Flights == 0, "the look's end");
    }

    [Fact]
    public async Task GetMany_NeitherReadsNorWritesTheSharedTier_DoesNotAskItForVersions()
    {
        await using ResilientCache cache = TestCache.New(_time, shared: _tier);
        var apart = new CacheEntryOptions { TierFlags = HybridCacheEntryFlags.DisableDistributedCache };
        IReadOnlyDictionary<string, string> got = await cache.ManyAsync(["key"], static keys => keys.Select(static key => (key, "value")), apart, ["tag"]);
        Assert.Equal("value", got["key"]);
        Assert.Empty(_tier.Calls);
    }

    [Fact]
    public async Task Refresh_OfStaleCopiesInABatch_IsNotCountedAsEager()
    {
        await using ResilientCache cache = TestCache.New(_time);
        await cache.GetAsync("key", "old");
        _time.Advance(TimeSpan.FromSeconds(61));
        cache.ServesStaleFirst = true;
        await cache.ManyAsync(["key"], static keys => keys.Select(static key => (key, "new")));
        TestCache.Until(() => cache.Snapshot().Flights == 0 && !cache.TryGet<string>("key").IsStale, "the refresh");
        Assert.Equal(0, cache.Snapshot().EagerRefreshes);
    }
}
