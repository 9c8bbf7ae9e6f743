namespace Resilience.Degrade.Tests.Simulation;

/// <summary>The figures that the controller must hold. Deterministic: no clock, seeded arrivals.</summary>
public sealed class HybridSimulationTests
{
    private readonly ITestOutputHelper _output;

    public HybridSimulationTests(ITestOutputHelper output) => _output = output;

    [Theory]
    [InlineData(2, 1, 30)]
    [InlineData(2, 2, 30)]
    [InlineData(2, 3, 30)]
    [InlineData(8, 1, 25)]
    [InlineData(8, 2, 25)]
    [InlineData(64, 1, 20)]
    public void StepToTenfold_HoldsGoodputAndCriticalWork(int cores, int seed, int seconds)
    {
        Outcome outcome = Run(new Scenario { Cores = cores, Seed = seed, Seconds = seconds, MeasureFrom = 5, Load = static at => at < 5 ? 0.7 : 10 });
        Assert.True(outcome.Goodput >= 0.85, outcome.ToString());
        Assert.True(outcome.CriticalSuccess >= 0.98, outcome.ToString());
    }

    /// <summary>Where the cap is small, bunches of critical work must still find room.</summary>
    [Fact]
    public void StepToTenfoldOnOneCoreWithLongWork_HoldsCriticalWork()
    {
        Outcome outcome = Run(new Scenario { Cores = 1, CpuMs = 8, Seconds = 60, MeasureFrom = 5, Load = static at => at < 5 ? 0.7 : 10 });
        Assert.True(outcome.Goodput >= 0.85, outcome.ToString());
        Assert.True(outcome.CriticalSuccess >= 0.98, outcome.ToString());
    }

    [Fact]
    public void StepToTenfold_WithoutController_Collapses()
    {
        Outcome outcome = Run(new Scenario { Cores = 2, Seconds = 20, MeasureFrom = 5, Load = static at => at < 5 ? 0.7 : 10 }, new OpenDoor());
        Assert.True(outcome.Goodput < 0.3, outcome.ToString());
    }

    /// <summary>The figure to beat: on 64 cores Gradient2 with its defaults learns so slowly that it turns most of what it could do away.</summary>
    [Fact]
    public void StepToTenfoldOn64Cores_Gradient2AtTheDoor_IsFarBehind()
    {
        Scenario scenario = new() { Cores = 64, Seconds = 9, MeasureFrom = 5, Load = static at => at < 5 ? 0.7 : 10 };
        Outcome gradient = Run(scenario, new Gradient2Door());
        Outcome hybrid = Run(scenario);
        Assert.True(gradient.Goodput < 0.3, gradient.ToString());
        Assert.True(gradient.CriticalSuccess < 0.3, gradient.ToString());
        Assert.True(hybrid.Goodput > 3 * gradient.Goodput, $"{hybrid} against {gradient}");
    }

    /// <summary>A limit that is learnt from response times takes a slow dependency for an overload.</summary>
    [Fact]
    public void SlowDependency_Gradient2AtTheDoor_RefusesMost()
    {
        Outcome gradient = Run(new Scenario { Cores = 8, Seconds = 40, MeasureFrom = 10, IoFactor = static at => at < 10 ? 1 : 20 }, new Gradient2Door(maximum: 1_000));
        Assert.True(gradient.RefusedShare > 0.5, gradient.ToString());
    }

    /// <summary>What a refusal costs bounds what can be done beside it: cheap ones leave the goodput, dear ones eat it, and critical work goes on.</summary>
    [Theory]
    [InlineData(0.005, 0.93)]
    [InlineData(0.05, 0.85)]
    [InlineData(0.2, 0.35)]
    public void StepToTenfold_RefusalCost_LeavesWhatItLeaves(double refusalMs, double goodput)
    {
        Outcome outcome = Run(new Scenario { Cores = 8, RefusalMs = refusalMs, Seconds = 20, MeasureFrom = 7, Load = static at => at < 5 ? 0.7 : 10 });
        Assert.True(outcome.Goodput >= goodput, outcome.ToString());
        Assert.True(outcome.CriticalSuccess >= 0.97, outcome.ToString());
    }

    [Theory]
    [InlineData(2)]
    [InlineData(8)]
    [InlineData(64)]
    public void SeventyPercentLoad_RefusesNothing(int cores)
    {
        Outcome outcome = Run(new Scenario { Cores = cores, Seconds = cores == 64 ? 10 : 40 });
        Assert.Equal(0, outcome.Refused);
    }

    [Fact]
    public void SlowDependency_IdleCpu_RefusesLittle()
    {
        Outcome outcome = Run(new Scenario { Cores = 8, Seconds = 40, MeasureFrom = 10, IoFactor = static at => at < 10 ? 1 : 20 });
        Assert.True(outcome.RefusedShare < 0.05, outcome.ToString());
    }

    [Fact]
    public void GcPauses_RefuseLittle()
    {
        Outcome outcome = Run(new Scenario { Cores = 2, Seconds = 60, GcPause = (5, 300) });
        Assert.True(outcome.RefusedShare < 0.02, outcome.ToString());
    }

    [Theory]
    [InlineData(2)]
    [InlineData(8)]
    [InlineData(64)]
    public void BurstFromIdle_NoneRefused(int cores)
    {
        Outcome outcome = Run(new Scenario { Cores = cores, Seconds = 10, Load = static _ => 0, Burst = (2, 40 * cores) });
        Assert.Equal(40 * cores, outcome.Arrived);
        Assert.Equal(0, outcome.Refused);
    }

    [Fact]
    public void OverloadEnds_RecoversWithinTwoSeconds()
    {
        Outcome outcome = Run(new Scenario { Cores = 8, Seconds = 40, MeasureFrom = 27, Load = static at => at is >= 5 and < 25 ? 10 : 0.7 });
        Assert.Equal(0, outcome.Refused);
        Assert.True(outcome.CriticalSuccess >= 0.999, outcome.ToString());
    }

    [Fact]
    public void ServiceTimeDoublesForGood_IsLearntWithinNinetySeconds()
    {
        // Half of the capacity is what is left; judged over the last ten seconds, at twice that.
        Outcome outcome = Run(new Scenario { Cores = 2, Seconds = 111, MeasureFrom = 95, CpuFactor = static at => at < 5 ? 1 : 2, IoFactor = static at => at < 5 ? 1 : 2, Load = static at => at < 5 ? 0.7 : 1 });
        Assert.True(outcome.Goodput >= 0.5 * 0.85, outcome.ToString());
        Assert.True(outcome.CriticalSuccess >= 0.98, outcome.ToString());
    }

    /// <summary>A container without a quota on a crowded host: its own CPU time never looks like much, however long its queue is.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void NoisyNeighbours_CpuNeverLooksBusy_HoldsGoodputAndCriticalWork(int seed)
    {
        Scenario scenario = new() { Cores = 2, Stolen = 0.6, Seed = seed, Seconds = 40, MeasureFrom = 7, Load = static at => at < 5 ? 0.7 : 10 };
        Outcome outcome = Run(scenario);
        Assert.True(outcome.Goodput >= 0.85, outcome.ToString());
        Assert.True(outcome.CriticalSuccess >= 0.98, outcome.ToString());
        Assert.Equal(0, Run(scenario with { MeasureFrom = 0, Load = static _ => 0.7 }).Refused);
    }

    /// <summary>
    /// On a thread pool arrivals wait in a queue before the door sees them, and work that was begun runs to its end: with input/output in between, and without
    /// any. A refusal costs what one on Kestrel does.
    /// </summary>
    [Theory]
    [InlineData(1, 20, 20, 10, 0.75)]
    [InlineData(1, 20, 20, 30, 0.65)]
    [InlineData(1, 20, 0, 10, 0.75)]
    [InlineData(1, 20, 0, 30, 0.65)]
    [InlineData(2, 4, 20, 10, 0.55)]
    [InlineData(8, 8, 20, 10, 0.7)]
    public void ArrivalsWaitForAThread_ManyTimesTheCapacity_HoldsGoodputAndCriticalWork(int cores, double cpuMs, double ioMs, double times, double goodput)
    {
        Scenario scenario = new() { Cores = cores, Threads = cores, CpuMs = cpuMs, IoMs = ioMs, RefusalMs = 0.15, Seconds = cores == 8 ? 20 : 40, MeasureFrom = 8, Load = at => at < 5 ? 0.7 : times };
        Outcome outcome = Run(scenario);
        Assert.True(outcome.Goodput >= goodput, outcome.ToString());

        // A twentieth of thirty times the capacity is more than it can do.
        Assert.True(outcome.CriticalSuccess >= Math.Min(0.97, 0.9 * goodput / (0.05 * times)), outcome.ToString());
    }

    /// <summary>A bound on how many are inside alone leaves the arrivals waiting until nobody waits for them any more.</summary>
    [Fact]
    public void ArrivalsWaitForAThread_WithoutABoundOnTheRate_Collapses()
    {
        Outcome outcome = Run(new Scenario { Cores = 1, Threads = 1, CpuMs = 20, IoMs = 20, RefusalMs = 0.15, Seconds = 40, MeasureFrom = 8, Load = static at => at < 5 ? 0.7 : 30 }, new HybridDoor(1, paces: false));
        Assert.True(outcome.Goodput < 0.3, outcome.ToString());
    }

    [Theory]
    [InlineData(2)]
    [InlineData(8)]
    public void ArrivalsWaitForAThread_SeventyPercentLoadAndBursts_RefuseNothing(int cores)
    {
        Outcome calm = Run(new Scenario { Cores = cores, Threads = cores, Seconds = 40 });
        Assert.True(calm.RefusedShare < 0.005, calm.ToString());
        Outcome burst = Run(new Scenario { Cores = cores, Threads = cores, Seconds = 10, Load = static _ => 0, Burst = (2, 40 * cores) });
        Assert.Equal(0, burst.Refused);
    }

    [Fact]
    public void ArrivalsWaitForAThread_OverloadEnds_RecoversWithinTwoSeconds()
    {
        Outcome outcome = Run(new Scenario { Cores = 8, Threads = 8, Seconds = 40, MeasureFrom = 27, RefusalMs = 0.02, Load = static at => at is >= 5 and < 25 ? 10 : 0.7 });
        Assert.True(outcome.RefusedShare < 0.01, outcome.ToString());
        Assert.True(outcome.CriticalSuccess >= 0.999, outcome.ToString());
    }

    /// <summary>
    /// Clients that ask three times each make an overload of three one of seven. Their throttle keeps what is hopeless at home, and the service does as much as before.
    /// </summary>
    [Fact]
    public void RetryStorm_ClientThrottle_KeepsTheSurplusAtHome()
    {
        Scenario storm = new() { Cores = 2, Seconds = 40, MeasureFrom = 15, Attempts = 3, Load = static at => at < 5 ? 0.7 : 3 };
        Outcome without = Run(storm);
        Outcome with = Run(storm with { Throttle = time => new ClientThrottle(new ClientThrottleOptions { Window = TimeSpan.FromSeconds(10) }, time, new Random(1)) });
        Assert.True(without.Sent > 5 * 500 * 24, $"{without.Sent} sent");
        Assert.True(with.Sent < 0.5 * without.Sent, $"{with.Sent} of {without.Sent} sent");
        Assert.True(with.Goodput >= without.Goodput - 0.02, $"{with} against {without}");
        Assert.True(without.CriticalSuccess >= 0.98, without.ToString());
    }

    /// <summary>The clients' throttle keeps the surplus at home whatever it is, unless it knows what matters.</summary>
    [Fact]
    public void RetryStorm_ClientThrottle_CriticalCallsAreTheLastToBeKeptAtHome()
    {
        Scenario storm = new()
        {
            Cores = 2,
            Seconds = 40,
            MeasureFrom = 15,
            Attempts = 3,
            Load = static at => at < 5 ? 0.7 : 6,
            Throttle = static time => new ClientThrottle(new ClientThrottleOptions { Window = TimeSpan.FromSeconds(10) }, time, new Random(1)),
        };
        Outcome blind = Run(storm with { ThrottlesByPriority = false });
        Outcome seeing = Run(storm);
        Assert.True(blind.CriticalSuccess < 0.6, blind.ToString());
        Assert.True(seeing.CriticalSuccess >= 0.98, seeing.ToString());
        Assert.True(seeing.Sent <= blind.Sent * 1.2, $"{seeing.Sent} sent, {blind.Sent} without priorities");
        Assert.True(seeing.Goodput >= blind.Goodput - 0.02, $"{seeing} against {blind}");
    }

    [Fact]
    public void PoolBottleneck_IdleCpu_HoldsGoodputAndCriticalWork()
    {
        // 10 connections for 20 ms each: 500 a second, a quarter of what the processors could do.
        Outcome outcome = Run(new Scenario { Cores = 8, Pool = 10, Seconds = 30, MeasureFrom = 7, Load = static at => at < 5 ? 0.7 * 0.25 : 10 * 0.25 });
        Assert.True(outcome.Goodput / 0.25 >= 0.85, outcome.ToString());
        Assert.True(outcome.CriticalSuccess >= 0.94, outcome.ToString());
    }

    [Fact]
    public void ColdStartOn64Cores_RefusesNothing()
    {
        Outcome outcome = Run(new Scenario { Cores = 64, Seconds = 6, Load = static _ => 0.7 });
        Assert.Equal(0, outcome.Refused);
    }

    [Fact]
    public void RepeatedRun_IsTheSameToTheLastRequest()
    {
        var scenario = new Scenario { Cores = 2, Seconds = 8, Load = static at => at < 3 ? 0.7 : 10 };
        Outcome first = Run(scenario);
        Outcome second = Run(scenario);
        Assert.Equal((first.Arrived, first.Refused, first.Goodput), (second.Arrived, second.Refused, second.Goodput));
    }

    private Outcome Run(Scenario scenario, IDoor? door = null)
    {
        Outcome outcome = OverloadSimulation.Run(scenario, door);
        _output.WriteLine(outcome.ToString());
        foreach ((double at, bool hot, double cap, double minRt, double maxPass, int inside, double cpu, long refused, double pace, double wait) in outcome.Ticks.Where((_, i) => i % 5 == 0))
        {
            _output.WriteLine(FormattableString.Invariant($"{at / 1000:0.0} s hot={hot} cap={cap:0} minRt={minRt:0.0} maxPass={maxPass:0} inside={inside} cpu={cpu:0.00} refused={refused} pace={pace:0} wait={wait:0}"));
        }

        return outcome;
    }
}
