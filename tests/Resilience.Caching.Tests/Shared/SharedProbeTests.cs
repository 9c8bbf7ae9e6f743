using Resilience.Caching.Shared;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Shared;

/// <summary>A shared tier that is out is looked for in the background, at nobody's expense, and what it missed is made good as soon as it answers.</summary>
public sealed class SharedProbeTests
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(500); // the default, with no jitter
    private readonly ManualTimeProvider _time = new();
    private readonly FakeSharedTier _tier = new();

    private int Asked => _tier.Calls.Count(call => call is "versions" or "read");

    private async Task BreakAsync(ResilientCache cache)
    {
        _tier.Fails = true;
        for (int i = 0; cache.Snapshot().SharedState == SharedTierState.Closed; i++)
        {
            Assert.True(i < 100, "The breaker does not open.");
            await cache.GetAsync($"key{i}", "x");
        }

        Assert.Equal(SharedTierState.Open, cache.Snapshot().SharedState);
    }

    [Fact]
    public async Task Open_ReadsNeverAsk_OneProbeAPauseDoes()
    {
        await using ResilientCache cache = TestCache.New(_time, null, _tier);
        await BreakAsync(cache);
        int before = Asked;
        for (int probes = 1; probes <= 5; probes++)
        {
            _time.Advance(Pause - TimeSpan.FromMilliseconds(1));
            Assert.Equal("x", await cache.GetAsync($"other{probes}", "x"));
            Assert.Equal(before + probes - 1, Asked);
            _time.Advance(TimeSpan.FromMilliseconds(1));
            TestCache.Until(() => Asked == before + probes && cache.Snapshot().SharedState == SharedTierState.Open, "the probe");
            TestCache.Until(() => _time.NextDue <= Pause, "the next one");
        }
    }

    [Fact]
    public async Task Probe_Hangs_NobodyWaitsWithIt()
    {
        await using ResilientCache cache = TestCache.New(_time, null, _tier);
        await BreakAsync(cache);
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _tier.Before = call => call == "versions" ? gate.Task : Task.CompletedTask;
        _time.Advance(Pause);
        Assert.Equal(SharedTierState.Probing, cache.Snapshot().SharedState);
        ValueTask<string> read = cache.GetAsync("other", "x");
        Assert.True(read.IsCompletedSuccessfully);
        Assert.Equal("x", await read);
        _time.Advance(TimeSpan.FromMilliseconds(500)); // the hard timeout
        TestCache.Until(() => cache.Snapshot().SharedState == SharedTierState.Open, "the probe's end");
        gate.SetResult();
    }

    [Fact]
    public async Task Back_TheProbeCloses_AndWhatWasMissedIsMadeGoodAtOnce()
    {
        await using ResilientCache cache = TestCache.New(_time, null, _tier);
        await cache.SetAsync("key", "old");
        await BreakAsync(cache);
        await cache.RemoveAsync("key");
        Assert.Equal(1, cache.Snapshot().ReplaysPending);
        _time.Advance(TimeSpan.FromMinutes(10)); // However long it was out.
        TestCache.Until(() => _time.NextDue <= Pause, "the next probe");
        _tier.Fails = false;
        _time.Advance(Pause);
        TestCache.Until(() => cache.Snapshot().ReplaysPending == 0, "the replay, with the clock standing still");
        Assert.Equal(SharedTierState.Closed, cache.Snapshot().SharedState);
    }

    [Fact]
    public async Task Back_WhileAReplayPauses_ItGoesOnAtOnce()
    {
        await using ResilientCache cache = TestCache.New(_time, options => options.Shared.Breaker.MinimumCalls = 100, _tier);
        await cache.SetAsync("key", "old");
        _tier.Fails = true;
        await cache.RemoveAsync("key");
        TestCache.Until(() => cache.Snapshot().SharedFailures == 2 && _time.NextDue <= TimeSpan.FromMilliseconds(200), "the pause after the first try");
        _tier.Fails = false;
        cache.Writer.StartReplay(isBack: true);
        TestCache.Until(() => cache.Snapshot().ReplaysPending == 0, "the replay, with the clock standing still");
    }

    [Fact]
    public async Task ConnectionComesBack_ItIsProbedAtOnce()
    {
        await using ResilientCache cache = TestCache.New(_time, options => options.Shared.Breaker.OpenFor = TimeSpan.FromMinutes(5), _tier, hasBackplane: true);
        await cache.GetAsync("key", "x");
        TestCache.Until(() => !cache.Core.IsBlind, "the channel");
        await BreakAsync(cache);
        _tier.Fails = false;
        _tier.Disconnect(isBack: true);
        await _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(10), () => cache.Snapshot().SharedState == SharedTierState.Closed, "the probe");
        Assert.True(_time.GetUtcNow().Minute < 4); // Far from its turn.
    }
}
