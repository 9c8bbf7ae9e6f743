using FsCheck;
using FsCheck.Fluent;
using Resilience.Settings;

namespace Resilience.Degrade.Tests.Pressure;

public sealed class LevelTrackerTests
{
    private static readonly SignalSettings Settings = new();

    [Fact]
    public void Update_OneHighSample_IsNoPressure()
    {
        var tracker = new LevelTracker();
        Assert.Equal(PressureLevel.Normal, tracker.Update(0.99, 0, Settings));
        Assert.Equal(PressureLevel.Normal, tracker.Update(0.5, 250, Settings));
        Assert.Equal(PressureLevel.Normal, tracker.Update(0.99, 500, Settings));
        Assert.Equal(PressureLevel.Normal, tracker.Update(0.99, 999, Settings));
        Assert.Equal(PressureLevel.Critical, tracker.Update(0.99, 1_000, Settings));
    }

    [Fact]
    public void Update_SuddenFall_LeavesOneLevelPerTenSeconds()
    {
        var tracker = new LevelTracker();
        Feed(tracker, 0.99, 0, 1_000);
        var fell = new List<long>();
        PressureLevel before = tracker.Level;
        for (long now = 1_100; now <= 60_000; now += 100)
        {
            if (tracker.Update(0.1, now, Settings) != before)
            {
                before = tracker.Level;
                fell.Add(now);
            }
        }

        Assert.Equal([11_100, 21_100, 31_100], fell);
        Assert.Equal(PressureLevel.Normal, tracker.Level);
    }

    [Theory]
    [InlineData(0.80)]
    [InlineData(0.88)]
    [InlineData(0.94)]
    [InlineData(0.72)]
    [InlineData(0.82)]
    [InlineData(0.90)]
    public void Update_NoiseOfThreePercentAroundAThreshold_AtMostOneTransitionInTenSeconds(double threshold)
    {
        for (int seed = 0; seed < 20; seed++)
        {
            var random = new Random(seed);
            var tracker = new LevelTracker();
            Feed(tracker, threshold * (seed % 2 == 0 ? 1.03 : 0.97), 0, 60_000); // settled from above, and from below
            var transitions = new List<long>();
            PressureLevel before = tracker.Level;
            for (long now = 60_100; now < 360_000; now += 100)
            {
                double value = threshold * (1 + ((random.NextDouble() - 0.5) * 0.06));
                if (tracker.Update(value, now, Settings) != before)
                {
                    before = tracker.Level;
                    transitions.Add(now);
                }
            }

            Assert.All(transitions.Zip(transitions.Skip(1)), pair => Assert.True(pair.Second - pair.First >= 10_000, $"seed {seed}: {pair}"));
        }
    }

    [Fact]
    public void Update_HigherSignal_NeverHasALowerLevel()
    {
        Gen<(double Value, double More, int Gap)[]> signals =
            Gen.Choose(60, 100).SelectMany(value => Gen.Choose(0, 30).SelectMany(more => Gen.Choose(1, 60).Select(gap => (value / 100.0, more / 100.0, gap * 100)))).ArrayOf();
        Prop.ForAll(
            signals.ToArbitrary(),
            samples =>
            {
                var lower = new LevelTracker();
                var higher = new LevelTracker();
                long now = 0;
                foreach ((double value, double more, int gap) in samples)
                {
                    now += gap;
                    if (lower.Update(value, now, Settings) > higher.Update(value + more, now, Settings))
                    {
                        return false;
                    }
                }

                return true;
            }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void Settings_ExitNotBelowEnter_IsAnError()
    {
        IReadOnlyList<SettingsError> errors = SettingsReader.Check("P", new SignalSettings { Exit = 0.80 });
        Assert.Equal("P:Exit = '0.8': must be below Enter (0.8)", Assert.Single(errors).ToString());
        Assert.Contains(SettingsReader.Check("P", new SignalSettings { Enter = 0.9 }), error => error.Path == "P:Enter");
        Assert.Empty(SettingsReader.Check("P", new PressureSettings()));
    }

    private static void Feed(LevelTracker tracker, double value, long from, long to)
    {
        for (long now = from; now <= to; now += 100)
        {
            tracker.Update(value, now, Settings);
        }
    }
}
