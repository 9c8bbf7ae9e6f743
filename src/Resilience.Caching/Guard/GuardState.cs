namespace Resilience.Caching.Guard;

/// <summary>What a guard is doing; only a <see cref="Ready"/> one refuses.</summary>
public enum GuardState
{
    /// <summary>Switched off by its options, or not started.</summary>
    Off,

    /// <summary>The first filter is being built.</summary>
    Loading,

    /// <summary>The filter is whole and refuses, as long as it is fresh.</summary>
    Ready,

    /// <summary>The filter holds so many keys that it is hardly worth asking; a larger one is being built.</summary>
    Overfull,

    /// <summary>The filter is older than it may be, or the shared journal has not been confirmed in time.</summary>
    Stale,

    /// <summary>A refused key turned out to exist. The next successful rebuild heals it.</summary>
    Contradicted,

    /// <summary>There is no filter because building one failed; it is tried again.</summary>
    Failed,
}
