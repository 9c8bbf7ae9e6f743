namespace Resilience.Degrade;

/// <summary>Who decided on the state of a feature.</summary>
/// <remarks>The order of the values is the order of precedence: a greater value wins.</remarks>
public enum DecisionSource
{
    /// <summary>What the feature was declared with.</summary>
    Default = 0,

    /// <summary>The pressure on the process. It can make a feature do less, never more.</summary>
    Automatic = 1,

    /// <summary>The configuration says <c>On</c>, <c>Off</c> or <c>Degraded</c>.</summary>
    Configuration = 2,

    /// <summary>An operator has overridden it for a while.</summary>
    Override = 3,
}
