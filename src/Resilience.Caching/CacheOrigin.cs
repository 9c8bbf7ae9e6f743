namespace Resilience.Caching;

/// <summary>Where a value came from.</summary>
public enum CacheOrigin
{
    /// <summary>Nowhere: there is no value.</summary>
    None,

    /// <summary>The local tier.</summary>
    Local,

    /// <summary>The shared tier.</summary>
    Shared,

    /// <summary>The factory.</summary>
    Source,

    /// <summary>The guard: the key cannot exist.</summary>
    Guard,
}
