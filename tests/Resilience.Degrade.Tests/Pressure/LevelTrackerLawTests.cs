using FsCheck;
using FsCheck.Fluent;

namespace Resilience.Degrade.Tests.Pressure;

/// <summary>What thresholds, dwell and hysteresis promise, at their very limits.</summary>
public sealed class LevelTrackerLawTests
{
    private static readonly SignalSettings Settings = new(); // 0.80/0.72, 0.88/0.82, 0.94/0.90; 0.5 s in, 10 s out

    public static TheoryData<double, double, PressureLevel> Thresholds() => new()
    {
        { 0.80, 0.72, PressureLevel.Elevated },
        { 0.88, 0.82, PressureLevel.High },
        { 0.94, 0.90, PressureLevel.Critical },
    };

    [Theory]
    [MemberData(nameof(Thresholds))]
    public void Update_AtEnterForEnterFor_EntersAndNotBelowNorBefore(double enter, double exit, PressureLevel level)
    {
        _ = exit;
        var below = new LevelTracker();
        var at = new LevelTracker();
        for (long now = 0; now < 500; now += 100)
        {
            Assert.Equal(PressureLevel.Normal, below.Update(Math.BitDecrement(enter), now, Settings));
            Assert.Equal(PressureLevel.Normal, at.Update(enter, now, Settings));
        }

        Assert.Equal(PressureLevel.Normal, at.Update(enter, 499, Settings));
        Assert.Equal(level, at.Update(enter, 500, Settings));
        Assert.Equal(level - 1, below.Update(Math.BitDecrement(enter), 10_000, Settings));
    }

    [Theory]
    [MemberData(nameof(Thresholds))]
    public void Update_BelowExitForExitFor_LeavesAndAtExitNever(double enter, double exit, PressureLevel level)
    {
        LevelTracker at = Entered(enter);
        LevelTracker below = Entered(enter);
        for (long now = 1_000; now < 11_000; now += 1_000)
        {
            Assert.Equal(level, below.Update(Math.BitDecrement(exit), now, Settings));
        }

        Assert.Equal(level, below.Update(Math.BitDecrement(exit), 10_999, Settings));
        Assert.Equal(level - 1, below.Update(Math.BitDecrement(exit), 11_000, Settings));
        for (long now = 1_000; now < 100_000; now += 1_000)
        {
            Assert.Equal(level, at.Update(exit, now, Settings));
        }
    }

    [Fact]
    public void Update_OneSampleAtOrAboveExit_BeginsTheTimeOutAnew()
    {
        LevelTracker tracker = Entered(0.80);
        tracker.Update(0.5, 1_000, Settings);
        tracker.Update(0.72, 10_900, Settings);
        tracker.Update(0.5, 11_000, Settings);
        Assert.Equal(PressureLevel.Elevated, tracker.Update(0.5, 20_999, Settings));
        Assert.Equal(PressureLevel.Normal, tracker.Update(0.5, 21_000, Settings));
    }

    [Fact]
    public void Update_OneSampleBelowEnter_BeginsTheTimeInAnew()
    {
        var tracker = new LevelTracker();
        tracker.Update(0.80, 0, Settings);
        tracker.Update(0.80, 400, Settings);
        tracker.Update(0.79, 450, Settings);
        tracker.Update(0.80, 460, Settings);
        Assert.Equal(PressureLevel.Normal, tracker.Update(0.80, 959, Settings));
        Assert.Equal(PressureLevel.Elevated, tracker.Update(0.80, 960, Settings));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(500)]
    public void Update_OneSampleAlone_NeverEntersHoweverLongItStands(int enterForMs)
    {
        var settings = new SignalSettings { EnterFor = TimeSpan.FromMilliseconds(enterForMs) };
        var tracker = new LevelTracker();
        Assert.Equal(PressureLevel.Normal, tracker.Update(1, 10_000, settings));
        Assert.Equal(PressureLevel.Normal, tracker.Update(0, 20_000, settings));
        Assert.Equal(PressureLevel.Normal, tracker.Update(1, 30_000, settings));
        Assert.Equal(PressureLevel.Critical, tracker.Update(1, 30_000 + enterForMs, settings)); // the second in a row
    }

    [Fact]
    public void Update_NoTimeOut_LeavesWithTheNextSampleOneLevelEach()
    {
        var settings = new SignalSettings { ExitFor = TimeSpan.Zero };
        var tracker = new LevelTracker();
        tracker.Update(1, 0, settings);
        Assert.Equal(PressureLevel.Critical, tracker.Update(1, 500, settings));
        Assert.Equal(PressureLevel.High, tracker.Update(0, 600, settings));
        Assert.Equal(PressureLevel.Elevated, tracker.Update(0, 600, settings));
        Assert.Equal(PressureLevel.Normal, tracker.Update(0, 600, settings));
        Assert.Equal(PressureLevel.Normal, tracker.Update(0, 600, settings));
    }

    [Fact]
    public void Update_RisesAgainWhileItFalls_RisesAtOnceAndFallsFromThereInTime()
    {
        LevelTracker tracker = Entered(0.94);
        tracker.Update(0, 1_000, Settings);
        Assert.Equal(PressureLevel.High, tracker.Update(0, 11_000, Settings));
        tracker.Update(0.94, 11_100, Settings);
        Assert.Equal(PressureLevel.Critical, tracker.Update(0.94, 11_600, Settings));
        tracker.Update(0, 11_700, Settings);
        Assert.Equal(PressureLevel.Critical, tracker.Update(0, 21_699, Settings));
        Assert.Equal(PressureLevel.High, tracker.Update(0, 21_700, Settings));
        Assert.Equal(PressureLevel.High, tracker.Update(0, 31_699, Settings));
        Assert.Equal(PressureLevel.Elevated, tracker.Update(0, 31_700, Settings));
        Assert.Equal(PressureLevel.Elevated, tracker.Level);
    }

    [Fact]
    public void Update_NotANumber_ChangesNothingAndInterruptsNothing()
    {
        var tracker = new LevelTracker();
        tracker.Update(0.80, 0, Settings);
        Assert.Equal(PressureLevel.Normal, tracker.Update(double.NaN, 250, Settings));
        Assert.Equal(PressureLevel.Elevated, tracker.Update(0.80, 500, Settings));
        tracker.Update(0, 1_000, Settings);
        Assert.Equal(PressureLevel.Elevated, tracker.Update(double.NaN, 12_000, Settings));
        Assert.Equal(PressureLevel.Normal, tracker.Update(0, 12_001, Settings));
    }

    /// <summary>The tracker beside one that keeps all samples and reads the definition off them.</summary>
    [Fact]
    public void Update_AnySignal_IsWhatItsDefinitionSays()
    {
        Gen<(double Value, int Gap)[]> signals = Gen.Choose(64, 100).SelectMany(value => Gen.Choose(0, 40).Select(gap => (value / 100.0, gap * 100))).ArrayOf();
        Prop.ForAll(signals.ToArbitrary(), samples =>
        {
            var settings = new SignalSettings { ExitFor = TimeSpan.FromSeconds(5) };
            var tracker = new LevelTracker();
            var definition = new Definition(settings);
            long now = 0;
            foreach ((double value, int gap) in samples)
            {
                now += gap;
                Assert.Equal(definition.Next(value, now), tracker.Update(value, now, settings));
            }
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(300).WithEndSize(150));
    }

    private static LevelTracker Entered(double value)
    {
        var tracker = new LevelTracker();
        tracker.Update(value, 0, Settings);
        tracker.Update(value, 500, Settings);
        return tracker;
    }

    private sealed class Definition(SignalSettings settings)
    {
        private readonly List<(double Value, long At)> _samples = [];
        private readonly bool[] _isOn = new bool[3];
        private int _level;
        private long? _fellAt;

        public PressureLevel Next(double value, long now)
        {
            _samples.Add((value, now));
            (double Enter, double Exit)[] thresholds = [(settings.Enter, settings.Exit), (settings.HighEnter, settings.HighExit), (settings.CriticalEnter, settings.CriticalExit)];
            for (int i = 0; i < 3; i++)
            {
                (double enter, double exit) = thresholds[i];
                (double, long At)[] above = [.. _samples.AsEnumerable().Reverse().TakeWhile(sample => sample.Value >= enter)];
                (double, long At)[] below = [.. _samples.AsEnumerable().Reverse().TakeWhile(sample => sample.Value < exit)];
                _isOn[i] = _isOn[i]
                    ? below.Length == 0 || now - below[^1].At < settings.ExitFor.TotalMilliseconds
                    : above.Length >= 2 && now - above[^1].At >= settings.EnterFor.TotalMilliseconds;
            }

            int wanted = Array.LastIndexOf(_isOn, true) + 1;
            if (wanted > _level)
            {
                _level = wanted;
            }
            else if (wanted < _level && !(now - _fellAt < settings.ExitFor.TotalMilliseconds))
            {
                _level--;
                _fellAt = now;
            }

            return (PressureLevel)_level;
        }
    }
}
