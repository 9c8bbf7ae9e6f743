namespace Resilience.Caching;

/// <summary>Something that happened in a cache.</summary>
/// <param name="Kind">What it was.</param>
/// <param name="At">When, by the wall clock.</param>
/// <param name="Key">The key, where it was about one. Keys may be personal data: show them to those who may see them.</param>
/// <param name="Tag">The tag, where it was about one.</param>
/// <param name="Failure">What failed, where something did.</param>
public sealed record CacheEvent(CacheEventKind Kind, DateTimeOffset At, string? Key, string? Tag, Exception? Failure);

/// <summary>What happens in a cache.</summary>
public enum CacheEventKind
{
    /// <summary>A factory failed.</summary>
    LoadFailed,

    /// <summary>A load was abandoned at its load timeout.</summary>
    LoadTimedOut,

    /// <summary>A read was answered with a stale copy.</summary>
    StaleServed,

    /// <summary>A value was too large to be kept.</summary>
    Oversized,

    /// <summary>The shared tier had bytes that were no whole frame of their key.</summary>
    BadFrame,

    /// <summary>This node removed a key.</summary>
    Removed,

    /// <summary>This node expired a key.</summary>
    Expired,

    /// <summary>This node removed or expired a tag; the tag <c>*</c> is everything.</summary>
    TagInvalidated,

    /// <summary>The shared tier was taken for broken.</summary>
    SharedTierLost,

    /// <summary>The shared tier works again.</summary>
    SharedTierBack,

    /// <summary>The node may have missed an invalidation and compares its copies before it uses them.</summary>
    Distrusted,
}
