using Microsoft.Extensions.Caching.Hybrid;
using Resilience.Caching.Invalidation;
using Resilience.Caching.Tests.Shared;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Invalidation;

/// <summary>Writes and invalidations in the one moment in which something else is half done.</summary>
public sealed class WriteRaceTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly FakeSharedTier _tier = new();

    [Fact]
    public async Task Set_ForTheSharedTierAlone_ReadThatFoundTheOldValueMeanwhile_IsForgotten()
    {
        await using ResilientCache cache = TestCache.New(_time, shared: _tier);
        await using ResilientCache other = TestCache.New(_time, shared: _tier);
        await other.SetAsync("key", "old");
        await cache.GetAsync("warm", "x");
        bool isDone = false;
        _tier.Before = async call =>
        {
            if (call == "write" && !isDone)
            {
                isDone = true;
                Assert.Equal("old", await cache.GetCachedAsync("key"));
            }
        };
        await cache.SetAsync("key", "new", new CacheEntryOptions { TierFlags = HybridCacheEntryFlags.DisableLocalCacheWrite });
        Assert.True(isDone);
        Assert.Equal("new", await cache.GetCachedAsync("key"));
    }

    [Fact]
    public async Task Heard_TheVeryValueThatIsHere_ALookThatReadTheOneBeforeIt_KeepsNothing()
    {
        await using ResilientCache cache = TestCache.New(_time, shared: _tier);
        await using ResilientCache other = TestCache.New(_time, shared: _tier);
        await other.SetAsync("key", "old");
        await cache.GetAsync("warm", "x");
        var read = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _tier.After = call => call == "read" && read.TrySetResult() ? release.Task : Task.CompletedTask;
        Task look = cache.TryGetAsync<string>("key").AsTask();
        await read.Task.Soon();
        await other.SetAsync("key", "new");
        Assert.Equal("new", await cache.GetCachedAsync("key"));
        HearOf(cache, other, "key");
        release.SetResult();
        await look.Soon();
        Assert.Equal("new", await cache.GetCachedAsync("key"));
    }

    [Fact]
    public async Task Remove_WhileTheExpiredCopyIsOnItsWayFromTheSharedTier_ItStandsInForNobody()
    {
        await using ResilientCache cache = TestCache.New(_time, shared: _tier);
        await using ResilientCache other = TestCache.New(_time, shared: _tier);
        await other.SetAsync("key", "old");
        _time.Advance(TimeSpan.FromSeconds(61));
        await cache.GetAsync("warm", "x");
        var read = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _tier.After = call => call == "read" && read.TrySetResult() ? release.Task : Task.CompletedTask;
        Task<string> load = cache.GetAsync<string>("key", static _ => throw new InvalidDataException()).AsTask();
        await read.Task.Soon();
        await cache.RemoveAsync("key");
        release.SetResult();
        await Assert.ThrowsAsync<InvalidDataException>(() => load.Soon());
    }

    /// <summary>A load may last longer than the mark of a removal where a call's own options say so; then nothing is left that would refuse its value.</summary>
    [Fact]
    public async Task Remove_ByAnotherNode_LoadThatOutlivesTheTombstone_DoesNotBringTheValueBack()
    {
        await using ResilientCache cache = TestCache.New(_time, shared: _tier);
        await using ResilientCache other = TestCache.New(_time, shared: _tier);
        var gate = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> load = cache.GetAsync("key", _ => new ValueTask<string>(gate.Task), new CacheEntryOptions { LoadTimeout = TimeSpan.FromHours(1) }).AsTask();
        await other.RemoveAsync("key");
        _time.Advance(cache.Core.Settings.Shared.TombstoneLifetime + TimeSpan.FromSeconds(1));
        _tier["v1:test:key"] = null; // as Redis would have it by now
        gate.SetResult("old");
        await load.Soon();
        await cache.Writer.DrainAsync(TimeSpan.FromSeconds(30));
        Assert.Equal("new", await other.GetAsync("key", "new"));
    }

    [Fact]
    public async Task Expire_BetweenAReadersLookAtTheClockAndItsTouch_IsNotUndone()
    {
        var time = new HookedTime(_time);
        await using ResilientCache cache = TestCache.New(time);
        var sliding = new CacheEntryOptions { Sliding = TimeSpan.FromSeconds(10) };
        await cache.GetAsync("key", "old", sliding);
        _time.Advance(TimeSpan.FromSeconds(2)); // past an eighth: the next read renews the copy
        int readings = 0;
        time.AfterReading = () =>
        {
            if (++readings == 2) // the first is of step 1, the second of the touch
            {
                _time.Advance(TimeSpan.FromMilliseconds(1));
                Assert.True(cache.ExpireAsync("key").IsCompletedSuccessfully);
            }
        };
        Assert.Equal("old", await cache.GetAsync("key", "new", sliding)); // It was asked before.
        time.AfterReading = null;
        Assert.True(readings >= 2);
        Assert.Equal("new", await cache.GetAsync("key", "new", sliding));
    }

    /// <summary>A load begins at the number of the latest invalidation; whatever has that number must be in place by then, or a copy that stood in for the load would slip it.</summary>
    [Fact]
    public async Task Invalidate_NumberThatCanBeSeen_HasBeenTakenIn()
    {
        var count = new InvalidationCount();
        var tag = new TagState("tag");
        await new StressRunner { Workers = 4 }.RunAsync(worker =>
        {
            if (worker.Index % 2 == 0)
            {
                tag.Invalidate(count, isRemoval: true);
                return Task.CompletedTask;
            }

            long seen = count.Current;
            Assert.True(tag.InvalidatedAt >= seen && tag.RemovedAt >= seen, $"{seen} could be seen, taken in was {tag.InvalidatedAt}");
            return Task.CompletedTask;
        });
        Assert.Equal(count.Current, tag.InvalidatedAt);
    }

    private static void HearOf(ResilientCache cache, ResilientCache writer, string key) =>
        new WritePath(cache.Core, cache.Writer).HearKey(key, writer.Core.Local.Find(key)!.Version, isRemoval: true);

    private sealed class HookedTime(ManualTimeProvider time) : TimeProvider
    {
        private bool _isInside;

        public Action? AfterReading { get; set; }

        public override long TimestampFrequency => time.TimestampFrequency;

        public override DateTimeOffset GetUtcNow() => time.GetUtcNow();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) => time.CreateTimer(callback, state, dueTime, period);

        public override long GetTimestamp()
        {
            long now = time.GetTimestamp();
            if (!_isInside)
            {
                _isInside = true;
                AfterReading?.Invoke();
                _isInside = false;
            }

            return now;
        }
    }
}
