using Resilience.Caching.Shared;
using Resilience.Context;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Shared;

public sealed class SharedBreakerTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly SharedBreakerOptions _options = new() { FailureRatio = 0.5, MinimumCalls = 4, Window = TimeSpan.FromSeconds(10), OpenFor = TimeSpan.FromSeconds(2) };
    private double _draw = 0.5;

    private SharedBreaker New() => new(() => _options, new CoarseClock(_time), () => _draw);

    private static void Call(SharedBreaker breaker, params bool[] outcomes)
    {
        foreach (bool succeeded in outcomes)
        {
            Assert.True(breaker.TryEnter());
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
        Assert.False(breaker.TryEnter());
    }

    [Theory]
    [InlineData(0.0, 1600)]
    [InlineData(1.0, 2400)]
    public void Open_ForItsJitteredWhile_ThenLetsOneProbeThrough(double draw, int milliseconds)
    {
        _draw = draw;
        SharedBreaker breaker = New();
        Call(breaker, false, false, false, false);
        _time.Advance(TimeSpan.FromMilliseconds(milliseconds - 1));
        Assert.False(breaker.TryEnter());
        _time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.True(breaker.TryEnter());
        Assert.Equal(SharedTierState.Probing, breaker.State);
        Assert.False(breaker.TryEnter());
    }

    [Fact]
    public void Probe_Fails_OpensAgainForAWhile()
    {
        SharedBreaker breaker = New();
        Call(breaker, false, false, false, false);
        _time.Advance(TimeSpan.FromSeconds(2));
        Assert.True(breaker.TryEnter());
        Assert.Null(breaker.Record(succeeded: false));
        Assert.False(breaker.TryEnter());
        _time.Advance(TimeSpan.FromSeconds(2));
        Assert.True(breaker.TryEnter());
        Assert.True(breaker.Record(succeeded: true));
        Assert.Equal(SharedTierState.Closed, breaker.State);
        Call(breaker, false, false, false); // The old failures are forgotten.
        Assert.True(breaker.IsClosed);
    }

    [Fact]
    public void Open_ManyAskAtOnce_ExactlyOneProbes()
    {
        SharedBreaker breaker = New();
        Call(breaker, false, false, false, false);
        _time.Advance(TimeSpan.FromSeconds(3));
        int entered = 0;
        Parallel.For(0, 1000, _ => Interlocked.Add(ref entered, breaker.TryEnter() ? 1 : 0));
        Assert.Equal(1, entered);
    }
}
