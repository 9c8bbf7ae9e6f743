using Microsoft.Extensions.DependencyInjection;
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

    /// <summary>The same table through the whole of it: settings that are reloaded, a signal that presses, overrides of an operator, declared features.</summary>
    [Theory]
    [InlineData(FeatureState.Normal)]
    [InlineData(FeatureState.Degraded)]
    [InlineData(FeatureState.Off)]
    public async Task Decide_EveryCombinationOfRealVoices_FollowsThePrecedence(FeatureState declared)
    {
        var feature = Feature.Declare($"r-table-{declared}", Priority.Low, declared);
        double pressure = 0;
        long now = 0;
        foreach (FeatureMode mode in Enum.GetValues<FeatureMode>())
        {
            await using DegradeHost host = await DegradeHost.StartAsync(
                new() { ["MaxAutomaticOff"] = "1000", [$"Features:{feature}:Mode"] = mode.ToString(), [$"Features:{feature}:Triggers:0"] = "t" },
                builder => builder.AddSignal("t", () => pressure),
                samples: false);
            PressureMonitor monitor = host.Services.GetRequiredService<PressureMonitor>();
            foreach ((double value, FeatureState automatic) in new[] { (0, FeatureState.Normal), (0.82, FeatureState.Degraded), (0.9, FeatureState.Off) })
            {
                pressure = value;
                for (int i = 0; i < 600; i++)
                {
                    monitor.Tick(new SystemSample(now += 100, 100, 0, 0, 0, 0));
                }

                foreach (FeatureState? manual in new FeatureState?[] { FeatureState.Normal, FeatureState.Degraded, FeatureState.Off, null })
                {
                    ValueTask<OverrideCommand> command = manual is { } state
                        ? host.Degradation.OverrideAsync(feature, state, "why", "who")
                        : host.Degradation.LiftOverrideAsync(feature, "why", "who");
                    await command;
                    (FeatureState State, DecisionSource Source) expected = FeatureRules.Decide(manual, mode, automatic, declared);
                    FeatureDecision decision = host.Degradation.Decide(feature);
                    Assert.Equal(expected, (decision.State, decision.Source));
                    Assert.Equal(expected.State, host.Degradation.StateOf(feature));
                }
            }
        }
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
