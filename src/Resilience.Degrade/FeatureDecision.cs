namespace Resilience.Degrade;

/// <summary>What holds for a feature, and who said so, why, since when and until when.</summary>
/// <remarks>Immutable and thread-safe. Made when the decision changes, not when it is read.</remarks>
public sealed class FeatureDecision
{
    internal FeatureDecision(Feature feature, FeatureState state, DecisionSource source, string reason, PressureLevel level, long revision, DateTimeOffset since, DateTimeOffset? until)
    {
        Feature = feature;
        State = state;
        Source = source;
        Reason = reason;
        Level = level;
        Revision = revision;
        Since = since;
        Until = until;
    }

    /// <summary>The feature.</summary>
    public Feature Feature { get; }

    /// <summary>What the feature does.</summary>
    public FeatureState State { get; }

    /// <summary>Who decided.</summary>
    public DecisionSource Source { get; }

    /// <summary>Why, in words for an operator: the reason given with an override or in the configuration, or the signal that presses.</summary>
    public string Reason { get; }

    /// <summary>The pressure that counts for this feature at the time of the decision.</summary>
    public PressureLevel Level { get; }

    /// <summary>The revision of the snapshot in which this decision was made; it grows with every change of any feature.</summary>
    public long Revision { get; }

    /// <summary>When the feature came into this state for this reason, by the wall clock.</summary>
    public DateTimeOffset Since { get; }

    /// <summary>When the decision ends by itself, by the wall clock; <see langword="null"/> when it does not.</summary>
    public DateTimeOffset? Until { get; }

    /// <summary>The decision as one line.</summary>
    public override string ToString() => $"{Feature.Name}: {State} ({Source}: {Reason})";

    internal bool SaysTheSameAs(FeatureDecision other) =>
        State == other.State && Source == other.Source && string.Equals(Reason, other.Reason, StringComparison.Ordinal) && Until == other.Until;
}

/// <summary>One change of a feature.</summary>
/// <param name="Before">What held before.</param>
/// <param name="After">What holds now.</param>
public sealed record FeatureChange(FeatureDecision Before, FeatureDecision After)
{
    /// <summary>The feature.</summary>
    public Feature Feature => After.Feature;
}
