namespace Resilience.Pools;

/// <summary>What a pool does about a lease that is held beyond the leak threshold.</summary>
public enum LeakAction
{
    /// <summary>It is logged with its holder and counted, once.</summary>
    Report,

    /// <summary>
    /// It is reported, then taken away: the lease becomes stale and the resource is destroyed, never leased again, because somebody may
    /// still hold the object itself.
    /// </summary>
    Reclaim,
}
