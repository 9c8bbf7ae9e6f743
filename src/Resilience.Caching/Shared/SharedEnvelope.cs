using System.Buffers.Binary;

namespace Resilience.Caching.Shared;

/// <summary>
/// The first nine bytes of a stored value, which a tier may read and change by itself: the version (8 bytes) and the state (1 byte).
/// </summary>
/// <remarks>The version is a random number, new with every write; it says whether a value is the same, not which is newer.</remarks>
public static class SharedEnvelope
{
    /// <summary>The size of the envelope, in bytes.</summary>
    public const int Size = 9;

    /// <summary>Where the state stands.</summary>
    public const int StateOffset = 8;

    /// <summary>The state of a value in force.</summary>
    public const byte Live = 0;

    /// <summary>The state of a value that was expired on purpose: a stale copy.</summary>
    public const byte Expired = 1;

    /// <summary>The state of a removed key: no frame follows.</summary>
    public const byte Tombstone = 2;

    /// <summary>A new version: random, never 0.</summary>
    public static long NewVersion()
    {
        long version = Random.Shared.NextInt64();
        return version == 0 ? 1 : version;
    }

    /// <summary>Writes the envelope at the start of a value.</summary>
    public static void Write(Span<byte> value, long version, byte state)
    {
        BinaryPrimitives.WriteInt64LittleEndian(value, version);
        value[StateOffset] = state;
    }

    /// <summary>A removed key's value.</summary>
    public static byte[] NewTombstone()
    {
        byte[] value = new byte[Size];
        Write(value, NewVersion(), Tombstone);
        return value;
    }

    /// <summary>The version of a stored value; 0 for none or one too short.</summary>
    public static long Version(ReadOnlySpan<byte> value) => value.Length < Size ? 0 : BinaryPrimitives.ReadInt64LittleEndian(value);

    /// <summary>The state of a stored value; a tombstone's for one too short.</summary>
    public static byte State(ReadOnlySpan<byte> value) => value.Length < Size ? Tombstone : value[StateOffset];
}
