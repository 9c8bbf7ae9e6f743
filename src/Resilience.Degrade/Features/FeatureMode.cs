namespace Resilience.Degrade;

/// <summary>What the configuration says of a feature.</summary>
public enum FeatureMode
{
    /// <summary>Nothing: pressure decides, and the declared default where there is none.</summary>
    Auto = 0,

    /// <summary>On whatever presses.</summary>
    On,

    /// <summary>In its cheaper form whatever presses.</summary>
    Degraded,

    /// <summary>Off.</summary>
    Off,
}
