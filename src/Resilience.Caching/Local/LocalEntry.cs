using System.Runtime.ExceptionServices;
using Resilience.Caching.Invalidation;

namespace Resilience.Caching.Local;

/// <summary>
/// What the local tier keeps for a key: the value or its bytes, and all that the first step of a read has to know.
/// </summary>
/// <remarks>
/// Times are <see cref="Resilience.Context.CoarseClock"/> milliseconds of the cache's clock. An entry is published whole and never
/// takes another value. Only the three times and the stamp may change afterwards; each is one word, written with a volatile store.
/// </remarks>
internal class LocalEntry
{
    private long _actAt;
    private long _expiresAt;
    private long _deadAt;
    private long _stamp;

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
    public TagState[]? Tags { get; set; }

    /// <summary>The version of the value in the shared tier; 0 when it is not known to be there.</summary>
    public long Version { get; set; }

    /// <summary>When the value was made.</summary>
    public long CreatedAt { get; set; }

    /// <summary>What few entries have: validators and sliding expiry.</summary>
    public EntryExtras? Extras { get; set; }

    /// <summary>What the entry is charged for: bytes of key, value and overhead, or the caller's own size; at least 1.</summary>
    public long Weight { get; set; } = 1;

    /// <summary>How hard the memory engine holds on to it.</summary>
    public CacheEntryPriority Priority { get; set; } = CacheEntryPriority.Normal;

    /// <summary>Whether the entry says "there is no such thing"; its value is then the type's default.</summary>
    public bool IsAbsent { get; set; }
}

/// <summary>An entry of a type.</summary>
internal abstract class LocalEntry<T> : LocalEntry;

/// <summary>An entry whose value itself is handed to every caller.</summary>
internal sealed class SharedEntry<T>(T value) : LocalEntry<T>
{
    public T Value { get; } = value;
}

/// <summary>An entry of a type that may not be shared between callers: each gets a value of its own, made from the bytes.</summary>
internal sealed class SerializedEntry<T>(ReadOnlyMemory<byte> payload) : LocalEntry<T>
{
    public ReadOnlyMemory<byte> Payload { get; } = payload;
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
