using System.Runtime.ExceptionServices;
using Resilience.Caching.Invalidation;

namespace Resilience.Caching.Local;

/// <summary>
/// What the local tier keeps for a key: the value or its bytes, and all that the first step of a read has to know.
/// </summary>
/// <remarks>
/// Times are <see cref="Resilience.Context.CoarseClock"/> milliseconds of the cache's clock. An entry is published whole and never
/// takes another value; what may change afterwards is said on the member, and each of those is one word, written with a volatile store.
/// </remarks>
internal class LocalEntry
{
    private long _actAt;
    private long _expiresAt;
    private long _deadAt;
    private long _stamp;

    /// <summary>The serialised value, for types that may not be shared between callers; not held where the value itself is.</summary>
    public ReadOnlyMemory<byte> Payload { get; init; }

    /// <summary>
    /// Until then a reader has nothing to do but return the value: the earliest of expiry, eager refresh and sliding touch, or the end of
    /// the time for which a stale copy stands in.
    /// </summary>
    public long ActAt
    {
        get => Volatile.Read(ref _actAt);
        set => Volatile.Write(ref _actAt, value);
    }

    /// <summary>The logical expiry; from here on the value is stale. Moved by sliding expiry and by expiring on purpose.</summary>
    public long ExpiresAt
    {
        get => Volatile.Read(ref _expiresAt);
        set => Volatile.Write(ref _expiresAt, value);
    }

    /// <summary>From here on the entry is of no use, not even as a stale copy: the engine may drop it whenever it likes.</summary>
    public long DeadAt
    {
        get => Volatile.Read(ref _deadAt);
        set => Volatile.Write(ref _deadAt, value);
    }

    /// <summary>
    /// The node's invalidation count up to which the value is known to be good: an invalidation with a higher number hides it.
    /// Raised when the value has been compared with the shared tier.
    /// </summary>
    public long Stamp
    {
        get => Volatile.Read(ref _stamp);
        set => Volatile.Write(ref _stamp, value);
    }

    /// <summary>The tags, resolved to their states so that checking one is one comparison; <see langword="null"/> for none.</summary>
    public TagState[]? Tags { get; init; }

    /// <summary>The version of the value in the shared tier; 0 when it is not known to be there.</summary>
    public long Version { get; init; }

    /// <summary>When the value was made.</summary>
    public long CreatedAt { get; init; }

    /// <summary>What few entries have: validators and sliding expiry.</summary>
    public EntryExtras? Extras { get; init; }

    /// <summary>What the entry is charged for: bytes of key, value and overhead, or the caller's own size; at least 1.</summary>
    public long Weight { get; init; } = 1;

    /// <summary>How hard the memory engine holds on to it.</summary>
    public CacheEntryPriority Priority { get; init; } = CacheEntryPriority.Normal;

    /// <summary>Whether the entry says "there is no such thing".</summary>
    public virtual bool IsNegative => false;
}

/// <summary>An entry of a type. <see cref="IsAbsent"/> says that there is no such thing.</summary>
internal sealed class LocalEntry<T> : LocalEntry
{
    /// <summary>The value, when <see cref="IsShared"/>.</summary>
    public T Value { get; init; } = default!;

    /// <summary>Whether <see cref="Value"/> itself is handed to every caller; else each gets its own, made from the payload.</summary>
    public bool IsShared { get; init; }

    /// <summary>Whether the entry says "there is no such thing". <see cref="Value"/> is then the default and shared.</summary>
    public bool IsAbsent { get; init; }

    /// <inheritdoc/>
    public override bool IsNegative => IsAbsent;

    /// <summary>Whether the value is <see langword="null"/>, which has no payload.</summary>
    public bool IsNull { get; init; }
}

/// <summary>A failure that is handed to further callers for a while.</summary>
internal sealed class FailureEntry(ExceptionDispatchInfo failure) : LocalEntry
{
    public ExceptionDispatchInfo Failure => failure;
}

/// <summary>What few entries have.</summary>
/// <param name="ETag">The validator that the factory gave.</param>
/// <param name="LastModified">The source's time of last change.</param>
/// <param name="Sliding">The sliding expiry, in milliseconds; 0 for none.</param>
/// <param name="SlidingEnd">Where sliding ends.</param>
internal sealed record EntryExtras(string? ETag, DateTimeOffset? LastModified, long Sliding, long SlidingEnd);
