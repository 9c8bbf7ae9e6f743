using Resilience.Caching.Invalidation;
using Resilience.Caching.Shared;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Shared;

/// <summary>What the shared tier missed while it was out is made good, newest per key, and nothing gets lost on the way.</summary>
public sealed class RecoveryTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly FakeSharedTier _tier = new();

    private ResilientCache New(Action<CacheOptions>? configure = null) => TestCache.New(_time, configure, _tier);

    private Task RecoverAsync(ResilientCache cache)
    {
        _tier.Fails = false;
        return _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(500), () => cache.Snapshot().ReplaysPending == 0, "the replay");
    }

    [Fact]
    public async Task Missed_SetRemoveExpireAndTag_AreMadeGoodForOtherNodes()
    {
        await using ResilientCache cache = New();
        foreach (string key in (string[])["removed", "set", "expired", "tagged", "twice"])
        {
            await cache.SetAsync(key, "old", tags: key == "tagged" ? ["tag"] : null);
        }

        _tier.Fails = true;
        await cache.RemoveAsync("removed");
        await cache.SetAsync("set", "new");
        await cache.SetAsync("fresh", "new");
        await cache.ExpireAsync("expired");
        await cache.RemoveByTagAsync("tag");
        await cache.SetAsync("twice", "new");
        await cache.RemoveAsync("twice");
        Assert.Equal(6, cache.Snapshot().ReplaysPending);
        await RecoverAsync(cache);

        await using ResilientCache other = New();
        foreach (string key in (string[])["removed", "set", "twice", "tagged"])
        {
            CacheResult<string> found = await other.TryGetAsync<string>(key);
            Assert.True(!found.HasValue || found.Value == "new", $"{key}: {found}");
        }

        Assert.True((await other.TryGetAsync<string>("expired")) is { IsStale: true, Value: "old" });

        // A pass that began before the last change may make good what that one replaced as well.
        Assert.InRange(cache.Snapshot().Replayed, 6, 7);
    }

    [Fact]
    public async Task Missed_UntilItIsMadeGood_NothingOfTheSharedTierIsBelievedForThatKeyOrTag()
    {
        await using ResilientCache cache = New();
        await cache.SetAsync("key", "old");
        await cache.SetAsync("tagged", "old", tags: ["tag"]);
        _tier.Before = call => call is "write" or "raise" ? Task.FromException(new IOException("read-only")) : Task.CompletedTask;
        await cache.RemoveAsync("key");
        await cache.RemoveByTagAsync("tag");
        Assert.Equal("new", await cache.GetAsync("key", "new"));
        Assert.Equal("new", await cache.GetAsync("tagged", "new", tags: ["tag"]));
        Assert.Equal(["new", "new"], (await cache.ManyAsync(["key2", "key"], keys => keys.Select(key => (key, "new")))).Values);
    }

    [Fact]
    public async Task Missed_MoreThanTheLogHolds_EverythingIsInvalidatedOnRecovery()
    {
        await using ResilientCache cache = New(options => options.Shared.MaxRecoveryKeys = 2);
        for (int i = 0; i < 5; i++)
        {
            await cache.SetAsync($"key{i}", "old");
        }

        _tier.Fails = true;
        for (int i = 0; i < 5; i++)
        {
            await cache.RemoveAsync($"key{i}");
        }

        Assert.Equal(3, cache.Snapshot().ReplaysPending); // two keys, and that there were more
        await RecoverAsync(cache);
        await using ResilientCache other = New();
        for (int i = 0; i < 5; i++)
        {
            Assert.False((await other.TryGetAsync<string>($"key{i}")).HasValue);
        }
    }

    [Fact]
    public async Task Missed_MoreTagsThanTheLogHolds_StayBoundedAndAreMadeGood()
    {
        await using ResilientCache cache = New(options => options.Shared.MaxRecoveryKeys = 2);
        for (int i = 0; i < 5; i++)
        {
            await cache.SetAsync($"key{i}", "old", tags: [$"tag{i}"]);
        }

        _tier.Fails = true;
        for (int i = 0; i < 5; i++)
        {
            await cache.RemoveByTagAsync($"tag{i}");
        }

        Assert.Equal(3, cache.Snapshot().ReplaysPending);
        await RecoverAsync(cache);
        await using ResilientCache other = New();
        for (int i = 0; i < 5; i++)
        {
            Assert.False((await other.TryGetAsync<string>($"key{i}")).HasValue);
            Assert.False(cache.Core.Invalidations.Tags.Get($"tag{i}").IsRaisePending);
        }
    }

    [Fact]
    public async Task OneBadChange_DoesNotStopTheRest()
    {
        await using ResilientCache cache = New();
        await cache.SetAsync("good", "old");
        _tier.Fails = true;
        await cache.ExpireAsync("bad");
        await cache.RemoveAsync("good");
        _tier.Before = call => call == "expire" ? Task.FromException(new IOException("It never takes this one.")) : Task.CompletedTask;
        _tier.Fails = false;
        await _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(500), () => cache.Snapshot().ReplaysPending == 1, "the good one");
        await using ResilientCache other = New();
        Assert.False((await other.TryGetAsync<string>("good")).HasValue);
    }

    [Fact]
    public async Task MissedWrite_OverAValueThatMayBeNewer_IsReplayedAsARemoval()
    {
        await using ResilientCache cache = New();
        await using ResilientCache other = New();
        await other.SetAsync("key", "theirs");
        _tier.Before = call => call == "write" ? Task.FromException(new IOException()) : Task.CompletedTask;
        await cache.SetAsync("key", "ours");
        _tier.Before = null;
        await RecoverAsync(cache);
        await using ResilientCache third = New();
        Assert.Equal("source", await third.GetAsync("key", "source"));
    }

    [Fact]
    public void Log_ChangeThatOverflowsDuringAReplay_IsNotTakenForMadeGood()
    {
        var log = new RecoveryLog(() => 1);
        log.AddKey("a", MissedKind.Remove);
        log.AddKey("b", MissedKind.Remove);
        MissedChanges first = log.Read();
        log.AddKey("c", MissedKind.Remove);
        log.OverflowDone(first.Overflow);
        Assert.True(log.HasKey("c"));
        log.OverflowDone(log.Read().Overflow);
        Assert.False(log.HasKey("c"));
        Assert.True(log.HasKey("a"));
    }

    [Fact]
    public void Log_TagMissedAgainDuringAReplay_StaysPending()
    {
        var log = new RecoveryLog(() => 10);
        var tag = new TagState("tag");
        log.AddTag(tag, isRemoval: true);
        MissedTag first = Assert.Single(log.Read().Tags);
        log.AddTag(tag, isRemoval: false);
        log.TagDone(first);
        MissedTag second = Assert.Single(log.Read().Tags);
        Assert.True(tag.IsRaisePending);
        Assert.True(second.IsRemoval); // The newest of several still says that one was a removal.
        log.TagDone(second);
        Assert.False(tag.IsRaisePending);
        Assert.Equal(0, log.Count);
    }

    [Fact]
    public void Log_NewestPerKey_AndADoneThatIsOutdatedTakesNothingOff()
    {
        var log = new RecoveryLog(() => 10);
        log.AddKey("key", MissedKind.Write, new byte[10], TimeSpan.FromMinutes(1));
        MissedChange first = log.Read().Keys[0].Value;
        log.AddKey("key", MissedKind.Remove);
        Assert.Equal(1, log.Count);
        log.Done("key", first);
        Assert.Equal(MissedKind.Remove, Assert.Single(log.Read().Keys).Value.Kind);
        log.Overtaken("key");
        Assert.Equal(0, log.Count);
    }

    [Fact]
    public void Log_MoreBytesThanItHolds_KeepsARemovalInsteadOfTheValue()
    {
        var log = new RecoveryLog(() => 10);
        byte[] large = new byte[40 << 20];
        log.AddKey("a", MissedKind.Write, large, TimeSpan.FromMinutes(1));
        log.AddKey("b", MissedKind.Write, large, TimeSpan.FromMinutes(1));
        Assert.Equal([MissedKind.Write, MissedKind.Remove], log.Read().Keys.OrderBy(pair => pair.Key).Select(pair => pair.Value.Kind));
    }

    [Fact]
    public async Task RaiseUnderWayWhileAnOlderOneIsMadeGood_LeavesTheCountRight()
    {
        await using ResilientCache cache = New();
        await cache.GetAsync("key", "x", tags: ["tag"]);
        TagState tag = cache.Core.Invalidations.Tags.Get("tag");
        _tier.Fails = true;
        await cache.RemoveByTagAsync("tag");
        Assert.True(tag.IsRaisePending);
        TestCache.Until(() => cache.Snapshot().SharedFailures >= 2, "the first try to make it good");
        _tier.Fails = false;

        // A second removal is on its way while the first is replayed and done.
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        int raises = 0;
        _tier.After = call => call == "raise" && Interlocked.Increment(ref raises) == 1 ? gate.Task : Task.CompletedTask;
        Task second = cache.RemoveByTagAsync("tag").AsTask();
        TestCache.Until(() => Volatile.Read(ref raises) == 1, "the second removal");
        await cache.Writer.ReplayAsync();
        Assert.True(tag.IsRaisePending);
        gate.SetResult();
        await second.Soon();
        Assert.False(tag.IsRaisePending);
        tag.BeginRaise();
        Assert.True(tag.IsRaisePending);
        tag.EndRaise();
        Assert.False(tag.IsRaisePending);
    }
}
