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

    /// <summary>Until then a reader has nothing to do but return the value: the earliest of expiry, eager refresh and sliding touch.</summary>
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

    /// <summary>What the entry is charged for: bytes of key, value and overhead, or the caller's own size; at least 1.</summary>
    public long Weight { get; init; } = 1;

    /// <summary>The engine's own use counter. The cache never touches it.</summary>
    public byte Frequency;
}
