namespace Resilience.Degrade;

/// <summary>What a feature does at the moment.</summary>
/// <remarks>The order of the values is the order of severity: a greater value does less.</remarks>
public enum FeatureState
{
    /// <summary>The feature works as designed.</summary>
    Normal = 0,

    /// <summary>The feature runs, but in its cheaper form: it sees the state, and caches behind it serve stale copies first.</summary>
    Degraded = 1,

    /// <summary>The feature does not run; its fallback answers.</summary>
    Off = 2,
}
