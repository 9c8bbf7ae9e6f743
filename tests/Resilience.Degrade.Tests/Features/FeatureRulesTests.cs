using Resilience.Context;

namespace Resilience.Degrade.Tests.Features;

public sealed class FeatureRulesTests
{
    /// <summary>Every combination of what four voices can say, against the precedence written out a second way: the list of voices, first one wins.</summary>
    [Fact]
    public void Decide_EveryCombination_FollowsThePrecedence()
    {
        int rows = 0;
        foreach (FeatureState? manual in new FeatureState?[] { null, FeatureState.Normal, FeatureState.Degraded, FeatureState.Off })
        {
            foreach (FeatureMode mode in Enum.GetValues<FeatureMode>())
            {
                foreach (FeatureState automatic in Enum.GetValues<FeatureState>())
                {
                    foreach (FeatureState declared in Enum.GetValues<FeatureState>())
                    {
                        var voices = new List<(FeatureState?, DecisionSource)>
                        {
                            (manual, DecisionSource.Override),
                            (mode switch { FeatureMode.Auto => null, FeatureMode.On => FeatureState.Normal, FeatureMode.Off => FeatureState.Off, _ => FeatureState.Degraded }, DecisionSource.Configuration),
                            ((int)automatic > (int)declared ? automatic : null, DecisionSource.Automatic),
                            (declared, DecisionSource.Default),
                        };
                        (FeatureState? State, DecisionSource Source) first = voices.First(voice => voice.Item1 is not null);
                        (FeatureState State, DecisionSource Source) decided = FeatureRules.Decide(manual, mode, automatic, declared);
                        Assert.Equal((first.State!.Value, first.Source), decided);
                        rows++;
                    }
                }
            }
        }

        Assert.Equal(4 * 4 * 3 * 3, rows);
    }

    [Fact]
    public void Automatic_MorePressure_NeverDoesMore()
    {
        foreach (Priority priority in Enum.GetValues<Priority>())
        {
            (PressureLevel? degradeAt, PressureLevel? offAt) = FeatureRules.Thresholds(priority);
            FeatureState[] states = [.. Enum.GetValues<PressureLevel>().Select(level => FeatureRules.Automatic(level, degradeAt, offAt))];
            Assert.Equal(states.Order(), states);
            Assert.Equal(FeatureState.Normal, states[0]);
        }
    }

    [Fact]
    public void Automatic_LessImportant_NeverDoesMore()
    {
        foreach (PressureLevel level in Enum.GetValues<PressureLevel>())
        {
            FeatureState[] byPriority = [.. Enum.GetValues<Priority>().Select(priority =>
            {
                (PressureLevel? degradeAt, PressureLevel? offAt) = FeatureRules.Thresholds(priority);
                return FeatureRules.Automatic(level, degradeAt, offAt);
            })];
            Assert.Equal(byPriority.Order(), byPriority);
        }
    }
}
