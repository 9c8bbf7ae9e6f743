namespace Resilience.Degrade;

/// <summary>Why a feature has no answer at all.</summary>
public enum FeatureUnavailableReason
{
    /// <summary>It is off, and no fallback was asked.</summary>
    Off,

    /// <summary>It is off and security critical: nothing may answer in its place.</summary>
    FailsClosed,

    /// <summary>As many fallbacks run as may.</summary>
    FallbackSaturated,

    /// <summary>The fallback did not answer within its deadline.</summary>
    FallbackTimedOut,

    /// <summary>A fallback of a fallback fell back again.</summary>
    FallbackChained,
}

/// <summary>A feature is not there and its fallback could not answer for it.</summary>
public sealed class FeatureUnavailableException : Exception
{
    internal FeatureUnavailableException(FeatureDecision decision, FeatureUnavailableReason reason, string message, Exception? inner = null)
        : base(message, inner)
    {
        Decision = decision;
        Reason = reason;
    }

    /// <summary>The feature.</summary>
    public Feature Feature => Decision.Feature;

    /// <summary>What held for it.</summary>
    public FeatureDecision Decision { get; }

    /// <summary>Why there was no answer.</summary>
    public FeatureUnavailableReason Reason { get; }
}
