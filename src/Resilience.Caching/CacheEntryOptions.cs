using Microsoft.Extensions.Caching.Hybrid;

namespace Resilience.Caching;

/// <summary>
/// How one entry is kept and loaded. Immutable; make one per kind of data, keep it in a static field and vary it with <c>with</c>.
/// Whatever is <see langword="null"/> is taken from the cache's own <see cref="CacheOptions"/>.
/// </summary>
/// <remarks>Values out of range throw <see cref="ArgumentOutOfRangeException"/> at the first call that uses them, naming the property.</remarks>
public sealed record CacheEntryOptions
{
    /// <summary>How long the value is fresh. Range: 1 ms to 365 days.</summary>
    public TimeSpan? Expiration { get; init; }

    /// <summary>How long a node trusts its local copy before it asks the shared tier again; never longer than <see cref="Expiration"/>.</summary>
    public TimeSpan? LocalExpiration { get; init; }

    /// <summary>
    /// The share by which both expirations vary, up and down, so that what was written together does not expire together. Range: 0 to 0.5.
    /// Drawn once per write and carried to every node.
    /// </summary>
    public double? Jitter { get; init; }

    /// <summary>How long past its expiry a copy is kept for the time when the source fails. Zero switches fail-safe off. Range: 0 to 365 days.</summary>
    public TimeSpan? StaleFor { get; init; }

    /// <summary>How long a stale copy that stood in for a failed load is served before the source is tried again. Range: 0 to 1 day.</summary>
    public TimeSpan? StaleThrottle { get; init; }

    /// <summary>How long callers wait for a load while there is a stale copy to answer with; the load goes on. Infinite switches it off.</summary>
    public TimeSpan? SoftTimeout { get; init; }

    /// <summary>How long a load may take: then it is cancelled and abandoned, and the key is free again. Range: 1 ms to 1 day.</summary>
    public TimeSpan? LoadTimeout { get; init; }

    /// <summary>
    /// The share of the time to live after which the next reader starts a refresh in the background, such as 0.8. 0 switches it off.
    /// Range: 0 to 0.99.
    /// </summary>
    public double? EagerRefresh { get; init; }

    /// <summary>
    /// The XFetch factor: the value is refreshed before it expires by an exponentially drawn lead of mean <c>Beta</c> times what the load
    /// cost. 1 suits most; 0 switches it off. Range: 0 to 100.
    /// </summary>
    public double? Beta { get; init; }

    /// <summary>How long "there is no such thing" is remembered after a factory said <c>Absent()</c>. Zero: not at all. Range: 0 to 365 days.</summary>
    public TimeSpan? NegativeExpiration { get; init; }

    /// <summary>How long a failure is handed to further callers without another try, where no stale copy stands in. Zero: not at all. Range: 0 to 1 day.</summary>
    public TimeSpan? FailureExpiration { get; init; }

    /// <summary>
    /// When set, a local copy that nobody has read for so long expires; each read renews it, never past its expiration. The shared tier
    /// keeps to <see cref="Expiration"/>. Range: 10 ms to 365 days.
    /// </summary>
    public TimeSpan? Sliding { get; init; }

    /// <summary>What the entry is charged for in the local tier, in the unit of its size limit; bytes of key, value and overhead when <see langword="null"/>. At least 1.</summary>
    public long? Size { get; init; }

    /// <summary>How hard the memory engine holds on to the entry under pressure; other engines have a policy of their own.</summary>
    public CacheEntryPriority Priority { get; init; } = CacheEntryPriority.Normal;

    /// <summary>Which tiers take part.</summary>
    public HybridCacheEntryFlags TierFlags { get; init; }

    /// <summary>Whether large payloads are compressed; the cache's own setting when <see langword="null"/>.</summary>
    public bool? Compression { get; init; }

    /// <summary>
    /// Whether one instance is handed to all callers though its type is mutable. Only for values that nobody changes. Range: –.
    /// </summary>
    public bool? ReuseInstances { get; init; }

    /// <summary>Whether the factory runs with an <see cref="IServiceProvider"/> of its own (<see cref="CacheLoad{T}.Services"/>), disposed when it ends.</summary>
    public bool FreshScope { get; init; }
}

/// <summary>How hard an entry is held under pressure of memory.</summary>
public enum CacheEntryPriority
{
    /// <summary>Leaves first.</summary>
    Low,

    /// <summary>The default.</summary>
    Normal,

    /// <summary>Leaves last.</summary>
    High,
}
