using Resilience.Context;

namespace Resilience.Degrade.Tests.Admission;

/// <summary>The controller fed tick by tick: two cores, pages of 20 ms, eight of them done in a tick at best.</summary>
public sealed class HybridLimitTests
{
    private readonly HybridLimit _limit = new(cores: 2);
    private readonly AdmissionSettings _settings = new();
    private long _now;

    [Fact]
    public void StandingQueue_BusyProcessors_IsHotAtTheSecondTick()
    {
        Warm();
        Tick(waitMs: 90, cpu: 0.9);
        Assert.False(_limit.IsHot);
        Tick(waitMs: 190, cpu: 0.9);
        Assert.True(_limit.IsHot);
    }

    [Theory]
    [InlineData(0.5, 0)]
    [InlineData(0.9, 50)]
    public void StandingQueue_IdleProcessorsOrACollection_IsNotHotYet(double cpu, double gcPauseMs)
    {
        Warm();
        Tick(waitMs: 90, cpu: cpu, gcPauseMs: gcPauseMs);
        Tick(waitMs: 190, cpu: cpu, gcPauseMs: gcPauseMs);
        Assert.False(_limit.IsHot);
    }

    /// <summary>What was let in before the overload was known keeps arrivals waiting, at whatever rate more is let in: that says nothing about the rate.</summary>
    [Fact]
    public void SurplusIsWorkedOff_TheRateStaysNearWhatIsDone()
    {
        Warm();
        Surplus(ticks: 15);
        Assert.InRange(_limit.Pace, 0.75 * 80, 80);
        Assert.Equal(HybridLimit.LeastPaceShare, _limit.PaceShare);
    }

    [Fact]
    public void DoorIsClear_IdleProcessors_TheRateIsBackWithinASecond()
    {
        Warm();
        Surplus(ticks: 15);
        double low = 0.5 * 80;
        for (int i = 0; _limit.Pace > low; i++)
        {
            Assert.InRange(i, 0, 100);
            Tick(waitMs: 200 + (i * 10), passed: 3); // refusing takes the cores: the wait grows though little is done
        }

        for (int i = 0; i < 10; i++)
        {
            Tick(waitMs: 0, cpu: 0.5, passed: 4, refused: 80);
        }

        Assert.True(_limit.Pace >= 80, $"{_limit.Pace} a second");
    }

    /// <summary>Where the processors are busy with refusals a short wait is no reason to leap.</summary>
    [Fact]
    public void DoorIsClear_BusyProcessors_TheRateRisesMoreSlowly()
    {
        Warm();
        Surplus(ticks: 15);
        double before = _limit.Pace;
        Tick(waitMs: 0, cpu: 0.9, refused: 80);
        Assert.Equal(before * HybridLimit.QuickPaceRise, _limit.Pace, 6);
        Tick(waitMs: 0, cpu: 0.5, refused: 80);
        Assert.Equal(before * HybridLimit.QuickPaceRise * HybridLimit.IdlePaceRise, _limit.Pace, 6);
    }

    [Fact]
    public void DoorWaitGrowsWhateverIsDone_TheRateGoesOnFalling()
    {
        Warm();
        Surplus(ticks: 5);
        for (int i = 0; i < 300; i++)
        {
            Tick(waitMs: 700 + i, passed: (int)(_limit.Pace * _limit.PaceShare / 10));
        }

        Assert.Equal(HybridLimit.LeastPace * _limit.MaxPass, _limit.Pace, 6);
    }

    /// <summary>64 pieces of heavy work per core are more than their callers wait for; of light work they are nothing.</summary>
    [Theory]
    [InlineData(0.0, 8, 33, 128)] // costs nothing that could be seen
    [InlineData(0.3, 8, 33, 128)] // 7.5 ms
    [InlineData(0.6, 8, 33, 66)] // 15 ms: 66 of them are half a second of two cores
    [InlineData(0.8, 8, 33, 50)] // 20 ms
    [InlineData(0.8, 5, 33, 48)] // 32 ms: 24 per core are never too many
    [InlineData(0.8, 8, 3, 128)] // it is over in 3 ms, so the processor time is another's
    [InlineData(0.8, 1, 33, 128)] // too little to judge by
    public void Ceiling_IsHalfASecondOfWork(double cpu, int passed, double rtMs, int ceiling)
    {
        for (int i = 0; i < 12; i++)
        {
            Tick(waitMs: 0, cpu: cpu, passed: passed, rtMs: rtMs);
        }

        Assert.False(_limit.IsHot);
        Assert.InRange(_limit.For(Priority.Low), ceiling - 1, ceiling + 1);
    }

    [Theory]
    [InlineData(0.3, 128)]
    [InlineData(0.8, 50)]
    public void Ceiling_AfterAQuietNight_IsAsBefore(double cpu, int ceiling)
    {
        for (int i = 0; i < 12; i++)
        {
            Tick(waitMs: 0, cpu: cpu);
        }

        for (int i = 0; i < 8 * 60 * 60 * 10; i++)
        {
            Tick(waitMs: 0, cpu: 0.01, passed: i % 10 == 0 ? 1 : 0);
        }

        Assert.InRange(_limit.For(Priority.Low), ceiling - 1, ceiling + 1);
    }

    /// <summary>Learns what can be done, at half of the processors.</summary>
    private void Warm()
    {
        for (int i = 0; i < 20; i++)
        {
            Tick(waitMs: 0, cpu: 0.5);
        }

        Assert.Equal(80, _limit.MaxPass, 6);
    }

    private void Surplus(int ticks)
    {
        for (int i = 1; i <= ticks; i++)
        {
            Tick(waitMs: 100 * i, cpu: 0.92);
        }

        Assert.True(_limit.IsHot);
    }

    private void Tick(double waitMs, double cpu = 0.92, int passed = 8, long refused = 0, double gcPauseMs = 0, double rtMs = 33)
    {
        _now += 100;
        _limit.Tick(new SystemSample(_now, 100, cpu, 0, waitMs, gcPauseMs), waitMs, passed, passed * rtMs, refused, _settings, 2);
    }
}
