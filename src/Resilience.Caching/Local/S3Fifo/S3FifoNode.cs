namespace Resilience.Caching.Local.S3Fifo;

/// <summary>Where a node stands.</summary>
internal enum Queue : byte
{
    /// <summary>In neither queue: not admitted yet, or gone.</summary>
    None,

    /// <summary>On probation.</summary>
    Small,

    /// <summary>Proven.</summary>
    Main,
}

/// <summary>
/// A key with its value and its place in a queue. The value decides whether the node lives: once it is <see langword="null"/> it stays so,
/// which is the moment at which an entry is removed or evicted.
/// </summary>
internal sealed class S3FifoNode(string key, LocalEntry value, int hash)
{
    /// <summary>The most that the counter counts to.</summary>
    public const byte MaxFrequency = 3;

    /// <summary>The key.</summary>
    public readonly string Key = key;

    /// <summary>The value; <see langword="null"/> for ever once the node is dead. Written under the segment's lock, read by anybody.</summary>
    public volatile LocalEntry? Value = value;

    /// <summary>The neighbours in the queue; written under the engine's lock.</summary>
    public S3FifoNode? TowardsHead;

    /// <inheritdoc cref="TowardsHead"/>
    public S3FifoNode? TowardsTail;

    /// <summary>The next in the table's bucket; written under the segment's lock, kept when the node has left.</summary>
    public S3FifoNode? NextInBucket;

    /// <summary>The next in the stack of nodes whose place is to be put in order.</summary>
    public S3FifoNode? NextPending;

    /// <summary>The weight that the queue was charged; written under the engine's lock.</summary>
    public long Weight;

    /// <summary>The key's hash, for the table and for the ghost.</summary>
    public readonly int Hash = hash;

    /// <summary>Uses since the entry came to its place, up to <see cref="MaxFrequency"/>. A lost race costs one count, so nothing guards it.</summary>
    public byte Frequency;

    /// <summary>The queue; written under the engine's lock.</summary>
    public Queue Queue;

    /// <summary>Whether the node is in the stack of pending ones.</summary>
    public bool IsPending;
}
