using Resilience.Degrade;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>What the switches of the page work on.</summary>
internal interface IFeatureSwitches
{
    /// <summary>Overrides a feature for a while.</summary>
    void Override(Feature feature, FeatureState state, TimeSpan duration, string reason, string who);

    /// <summary>Lifts the override of a feature, if there is one.</summary>
    void Restore(Feature feature, string reason, string who);
}
