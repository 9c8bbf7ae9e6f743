namespace Resilience.Caching;

/// <summary>What a cache has done since the start, and what it holds now. Each number is exact; together they are no single moment.</summary>
public sealed record CacheSnapshot
{
    /// <summary>Reads answered by the local tier, stale ones included.</summary>
    public long LocalHits { get; init; }

    /// <summary>Reads answered with a stale copy: because a load failed or timed out, or while one is under way.</summary>
    public long StaleServed { get; init; }

    /// <summary>Loads answered by the shared tier.</summary>
    public long SharedHits { get; init; }

    /// <summary>Factory calls that were begun; a batch counts each of its keys.</summary>
    public long SourceLoads { get; init; }

    /// <summary>Factory calls that failed, timeouts included.</summary>
    public long SourceFailures { get; init; }

    /// <summary>Factory calls that were abandoned at their load timeout.</summary>
    public long LoadTimeouts { get; init; }

    /// <summary>Reads that joined a load under way.</summary>
    public long Joined { get; init; }

    /// <summary>Reads answered "there is no such thing" from memory.</summary>
    public long NegativeHits { get; init; }

    /// <summary>Reads refused by the guard.</summary>
    public long GuardRefusals { get; init; }

    /// <summary>Loaded values that were not kept because an invalidation came during the load.</summary>
    public long Discarded { get; init; }

    /// <summary>Refreshes begun before the expiry.</summary>
    public long EagerRefreshes { get; init; }

    /// <summary>Values too large to be kept.</summary>
    public long Oversized { get; init; }

    /// <summary>Stored bytes that were no whole frame of their key; read as a miss.</summary>
    public long BadFrames { get; init; }

    /// <summary>Calls to the shared tier that failed, timeouts included.</summary>
    public long SharedFailures { get; init; }

    /// <summary>Conditional writes that the shared tier refused because the key had changed.</summary>
    public long SharedRejected { get; init; }

    /// <summary>Background writes dropped for want of room.</summary>
    public long WritesDropped { get; init; }

    /// <summary>Local copies that were compared with the shared tier and found good.</summary>
    public long Revalidated { get; init; }

    /// <summary>How often the node had reason to think that it missed an invalidation.</summary>
    public long Distrusted { get; init; }

    /// <summary>Invalidations and writes that this node made or heard of.</summary>
    public long Invalidations { get; init; }

    /// <summary>Missed writes and removals that were made good after an outage of the shared tier.</summary>
    public long Replayed { get; init; }

    /// <summary>Missed writes and removals that wait for the shared tier.</summary>
    public long ReplaysPending { get; init; }

    /// <summary>Loads under way.</summary>
    public int Flights { get; init; }

    /// <summary>Entries in the local tier.</summary>
    public long LocalCount { get; init; }

    /// <summary>The weight of the entries in the local tier, in the unit of its size limit.</summary>
    public long LocalWeight { get; init; }

    /// <summary>Entries that the local tier dropped for want of room, where its engine tells.</summary>
    public long Evictions { get; init; }

    /// <summary>The state of the shared tier's breaker.</summary>
    public SharedTierState SharedState { get; init; }
}

/// <summary>How a cache sees its shared tier.</summary>
public enum SharedTierState
{
    /// <summary>There is none, or it is switched off.</summary>
    None,

    /// <summary>It works.</summary>
    Closed,

    /// <summary>It failed too often and is left alone.</summary>
    Open,

    /// <summary>A single call tries whether it works again.</summary>
    Probing,
}
