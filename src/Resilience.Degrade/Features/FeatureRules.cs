using Resilience.Context;
namespace Resilience.Degrade;

/// <summary>The precedence of decisions, as pure functions.</summary>
internal static class FeatureRules
{
    /// <summary>An override beats the configuration, which beats pressure, which beats the declaration.</summary>
    /// <param name="manual">What an operator says, if anybody does.</param>
    /// <param name="mode">What the configuration says.</param>
    /// <param name="automatic">What pressure asks for; it has a say only where it asks for less than the declaration.</param>
    /// <param name="declared">The declaration.</param>
    public static (FeatureState State, DecisionSource Source) Decide(FeatureState? manual, FeatureMode mode, FeatureState automatic, FeatureState declared)
    {
        if (manual is { } state)
        {
            return (state, DecisionSource.Override);
        }

        return mode switch
        {
            FeatureMode.On => (FeatureState.Normal, DecisionSource.Configuration),
            FeatureMode.Degraded => (FeatureState.Degraded, DecisionSource.Configuration),
            FeatureMode.Off => (FeatureState.Off, DecisionSource.Configuration),
            _ => automatic > declared ? (automatic, DecisionSource.Automatic) : (declared, DecisionSource.Default),
        };
    }

    /// <summary>What a level of pressure asks of a feature.</summary>
    public static FeatureState Automatic(PressureLevel level, PressureLevel? degradeAt, PressureLevel? offAt) =>
        offAt is { } off && level >= off ? FeatureState.Off
        : degradeAt is { } degrade && level >= degrade ? FeatureState.Degraded
        : FeatureState.Normal;

    /// <summary>The levels at which a feature of a priority gives way when the configuration names none.</summary>
    public static (PressureLevel? DegradeAt, PressureLevel? OffAt) Thresholds(Priority priority) => priority switch
    {
        Priority.Critical => (null, null),
        Priority.Normal => (PressureLevel.High, PressureLevel.Critical),
        Priority.Low => (PressureLevel.Elevated, PressureLevel.High),
        _ => (PressureLevel.Elevated, PressureLevel.Elevated),
    };
}
