using Resilience.Caching.Shared;

namespace Resilience.Caching.Frames;

/// <summary>What a frame says of its value.</summary>
internal readonly record struct FrameHeader
{
    /// <summary>What kind of value follows.</summary>
    public FrameFlags Flags { get; init; }

    /// <summary>When the value was made, in Unix milliseconds of the writer's wall clock.</summary>
    public long CreatedAt { get; init; }

    /// <summary>How long it is fresh from then on, jitter included, in milliseconds.</summary>
    public long FreshFor { get; init; }

    /// <summary>How long it is of use at all from then on, in milliseconds.</summary>
    public long UsefulFor { get; init; }

    /// <summary>How long a node trusts a local copy, jitter included, in milliseconds.</summary>
    public long LocalFor { get; init; }

    /// <summary>What the load took, in milliseconds.</summary>
    public int LoadCost { get; init; }

    /// <summary>The version of the namespace under which the value was made.</summary>
    public long NamespaceVersion { get; init; }

    /// <summary>The tags, with the versions under which the value was made.</summary>
    public FrameTag[] Tags { get; init; }

    /// <summary>The validator that the factory gave; <see langword="null"/> for none.</summary>
    public string? ETag { get; init; }

    /// <summary>The source's time of last change, in Unix milliseconds; 0 for none.</summary>
    public long LastModified { get; init; }
}

/// <summary>A tag in a frame.</summary>
internal readonly record struct FrameTag(string Name, long Version);

/// <summary>What kind of value a frame holds.</summary>
[Flags]
internal enum FrameFlags : ushort
{
    None = 0,

    /// <summary>The value is <see langword="null"/>; there is no payload.</summary>
    Null = 1,

    /// <summary>There is no such thing: a negative entry.</summary>
    Absent = 2,

    /// <summary>The payload is compressed with Brotli.</summary>
    Brotli = 4,

    /// <summary>All flags that this version knows.</summary>
    Known = Null | Absent | Brotli,
}

/// <summary>A frame that was read, with its payload as it was before compression.</summary>
internal readonly record struct Frame(FrameHeader Header, ReadOnlyMemory<byte> Payload, long Version, byte State);
