using Resilience.Caching.Shared;
using Resilience.Context;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Shared;

public sealed class SharedBreakerTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly SharedBreakerOptions _options = new() { FailureRatio = 0.5, MinimumCalls = 4, Window = TimeSpan.FromSeconds(10), OpenFor = TimeSpan.FromSeconds(2) };

    private SharedBreaker New() => new(() => _options, new CoarseClock(_time));

    private static void Call(SharedBreaker breaker, params bool[] outcomes)
    {
        foreach (bool succeeded in outcomes)
        {
            Assert.True(breaker.IsClosed);
            breaker.Record(succeeded);
        }
    }

    [Fact]
    public void Record_BelowTheRatioOrTheLeastCalls_StaysClosed()
    {
        SharedBreaker breaker = New();
        Call(breaker, false, false, false);
        Assert.True(breaker.IsClosed);
        _time.Advance(TimeSpan.FromSeconds(10)); // a new window
        Call(breaker, true, true, true, false, false);
        Assert.True(breaker.IsClosed);
    }

    [Fact]
    public void Record_AtTheRatio_OpensAndRefuses()
    {
        SharedBreaker breaker = New();
        Call(breaker, true, true, false, false);
        Assert.Equal(SharedTierState.Open, breaker.State);
        Assert.False(breaker.IsClosed);
    }

    [Fact]
    public void Record_BusyTierThatStalls_OpensAfterAsManyFailuresAsCount_NotAsManyAsItHadGoodCalls()
    {
        SharedBreaker breaker = New();
        Call(breaker, [.. Enumerable.Repeat(true, 10_000)]);
        Call(breaker, [.. Enumerable.Repeat(false, SharedBreaker.NewestCalls / 2)]);
        Assert.False(breaker.IsClosed);
    }

    [Fact]
    public void Record_FewerFailuresThanTheRatioOfTheNewest_StaysClosedHoweverManyTheyAre()
    {
        SharedBreaker breaker = New();
        for (int i = 0; i < 1_000; i++)
        {
            Call(breaker, true, true, false);
        }

        Assert.True(breaker.IsClosed);
    }

    [Fact]
    public void Record_CallsOlderThanTheWindow_CountNoLonger()
    {
        SharedBreaker breaker = New();
        Call(breaker, false, false, false);
        _time.Advance(TimeSpan.FromSeconds(9));
        Call(breaker, true, true, true, true);
        _time.Advance(TimeSpan.FromSeconds(1)); // the failures are out, the good ones in
        Call(breaker, false, false, false);
        Assert.True(breaker.IsClosed);
        Call(breaker, false);
        Assert.False(breaker.IsClosed);
    }

    [Fact]
    public void Record_MoreLeastCallsThanUsuallyCount_AreAllCounted()
    {
        _options.MinimumCalls = 100;
        SharedBreaker breaker = New();
        Call(breaker, [.. Enumerable.Repeat(false, 99)]);
        Assert.True(breaker.IsClosed);
        Call(breaker, false);
        Assert.False(breaker.IsClosed);
    }

    [Fact]
    public void Open_StragglersOfBefore_ChangeNothing()
    {
        SharedBreaker breaker = New();
        Call(breaker, false, false, false, false);
        Assert.False(breaker.Record(succeeded: true));
        Assert.Equal(SharedTierState.Open, breaker.State);
    }

    [Fact]
    public void Probe_OutcomeDecides()
    {
        SharedBreaker breaker = New();
        Assert.False(breaker.TryProbe());
        Call(breaker, false, false, false, false);
        Assert.True(breaker.TryProbe());
        Assert.Equal(SharedTierState.Probing, breaker.State);
        Assert.False(breaker.RecordProbe(succeeded: false));
        Assert.Equal(SharedTierState.Open, breaker.State);
        Assert.True(breaker.TryProbe());
        Assert.True(breaker.RecordProbe(succeeded: true));
        Assert.Equal(SharedTierState.Closed, breaker.State);
        Call(breaker, false, false, false); // The old failures are forgotten.
        Assert.True(breaker.IsClosed);
    }

    [Fact]
    public void Open_ManyAskAtOnce_ExactlyOneProbes()
    {
        SharedBreaker breaker = New();
        Call(breaker, false, false, false, false);
        int entered = 0;
        Parallel.For(0, 1000, _ => Interlocked.Add(ref entered, breaker.TryProbe() ? 1 : 0));
        Assert.Equal(1, entered);
    }
}
