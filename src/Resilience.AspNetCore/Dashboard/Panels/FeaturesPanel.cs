using Resilience.Degrade;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>How many features do less than they should. The features themselves are sent when they change.</summary>
internal sealed class FeaturesPanel(IDegradation? degradation = null) : IDashboardPanel
{
    public string Area => "features";

    public DashboardSnapshot Read(DashboardSnapshot snapshot)
    {
        if (degradation is null)
        {
            return snapshot;
        }

        (int all, int degraded, int off, int overridden) = (0, 0, 0, 0);
        foreach (FeatureDecision decision in degradation.Snapshot.Decisions)
        {
            all++;
            degraded += decision.State == FeatureState.Degraded ? 1 : 0;
            off += decision.State == FeatureState.Off ? 1 : 0;
            overridden += decision.Source == DecisionSource.Override ? 1 : 0;
        }

        return snapshot with { Features = new FeatureCounts(all, degraded, off, overridden) };
    }
}
