namespace Resilience.Degrade;

/// <summary>One feature in one snapshot: the decision, what holds for callers to whom it does not apply, and how its fallback runs. Immutable but for the gate.</summary>
internal sealed class FeatureSlot
{
    /// <summary>Read by <c>StateOf</c> with nothing in between.</summary>
    public readonly FeatureState State;

    private readonly bool _tellsCallersApart;

    /// <param name="decision">What holds.</param>
    /// <param name="unshared">What holds for callers outside the configured share: what pressure and the declaration say.</param>
    /// <param name="exempt">What holds for exempt callers: the declaration.</param>
    /// <param name="rule">The settings.</param>
    /// <param name="gate">The bulkhead of the fallbacks.</param>
    public FeatureSlot(FeatureDecision decision, FeatureDecision unshared, FeatureDecision exempt, FeatureRule rule, FallbackGate gate)
    {
        State = decision.State;
        Decision = decision;
        Unshared = unshared;
        Exempt = exempt;
        Rule = rule;
        Gate = gate;
        _tellsCallersApart = rule.IsTargeted && decision.Source is (DecisionSource.Configuration or DecisionSource.Automatic);
    }

    public FeatureDecision Decision { get; }

    public FeatureDecision Unshared { get; }

    public FeatureDecision Exempt { get; }

    public FeatureRule Rule { get; }

    public FallbackGate Gate { get; }

    public FeatureDecision For(in DegradationContext context)
    {
        if (!_tellsCallersApart)
        {
            return Decision;
        }

        return Rule.IsExempt(context) ? Exempt
            : Decision.Source == DecisionSource.Configuration && !Rule.IsInShare(context) ? Unshared
            : Decision;
    }
}
