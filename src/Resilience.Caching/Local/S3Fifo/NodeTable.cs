using System.Numerics;
using System.Runtime.CompilerServices;

namespace Resilience.Caching.Local.S3Fifo;

/// <summary>
/// A concurrent hash table whose entries are the engine's own nodes: a read is two array look-ups and the node, a write allocates nothing
/// but the node, and removing a node needs neither its key's hash nor a comparison again.
/// </summary>
/// <remarks>
/// <para>Segments, each with its lock and its buckets, grow by themselves, so that the longest anybody waits for growth is that of one segment.
/// Reads take no lock. A removed node keeps its link and is never put back, so that a reader who stands on it finds the rest of the chain.
/// Only growth moves nodes from chain to chain and may lead a reader astray; it makes the segment's version odd while it does,
/// and a reader that found nothing looks again under the lock if the version was odd or has changed.</para>
/// </remarks>
internal sealed class NodeTable
{
    private const int MaxSegments = 256;
    private const int LeastBuckets = 8;
    private readonly Segment[] _segments;
    private readonly int _shift;

    /// <summary>Makes an empty table.</summary>
    /// <param name="expected">How many nodes are expected; more segments for more.</param>
    public NodeTable(long expected)
    {
        int count = (int)Math.Clamp(BitOperations.RoundUpToPowerOf2((ulong)Math.Max(1, expected / 64)), 16, MaxSegments);
        _segments = new Segment[count];
        for (int i = 0; i < count; i++)
        {
            _segments[i] = new Segment();
        }

        _shift = 32 - BitOperations.Log2((uint)count);
    }

    /// <summary>How many nodes are in it; not a snapshot.</summary>
    public long Count => _segments.Sum(segment => (long)segment.Count);

    /// <summary>The nodes; what is written meanwhile may or may not be among them.</summary>
    public IEnumerable<S3FifoNode> Nodes()
    {
        foreach (Segment segment in _segments)
        {
            foreach (S3FifoNode node in segment.Copy())
            {
                yield return node;
            }
        }
    }

    /// <summary>Finds a node.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public S3FifoNode? Find(ReadOnlySpan<char> key, int hash)
    {
        Segment segment = SegmentOf(hash);
        int version = Volatile.Read(ref segment.Version);
        S3FifoNode?[] buckets = Volatile.Read(ref segment.Buckets);
        S3FifoNode? node = Volatile.Read(ref buckets[hash & (buckets.Length - 1)]);
        while (node is not null)
        {
            if (node.Hash == hash && key.SequenceEqual(node.Key))
            {
                return node;
            }

            node = Volatile.Read(ref node.NextInBucket);
        }

        return (version & 1) == 0 && version == Volatile.Read(ref segment.Version) ? null : segment.FindLocked(key, hash);
    }

    /// <summary>Finds the node of a key, or adds one.</summary>
    /// <param name="key">The key.</param>
    /// <param name="hash">Its hash.</param>
    /// <param name="entry">What a new node holds.</param>
    /// <param name="isNew">Whether the node is a new one.</param>
    public S3FifoNode FindOrAdd(string key, int hash, LocalEntry entry, out bool isNew) => SegmentOf(hash).FindOrAdd(key, hash, entry, out isNew);

    /// <summary>Takes a node out.</summary>
    /// <returns>Whether it was in.</returns>
    public bool Remove(S3FifoNode node) => SegmentOf(node.Hash).Remove(node);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Segment SegmentOf(int hash) => _segments[(uint)hash >> _shift];

    private sealed class Segment
    {
        public S3FifoNode?[] Buckets = new S3FifoNode?[LeastBuckets];
        public int Version;
        private TryLock _lock; // guards all writes of chains, Buckets, Version and Count

        public int Count { get; private set; }

        public S3FifoNode[] Copy()
        {
            _lock.Enter();
            try
            {
                var copy = new S3FifoNode[Count];
                int at = 0;
                foreach (S3FifoNode? head in Buckets)
                {
                    for (S3FifoNode? node = head; node is not null; node = node.NextInBucket)
                    {
                        copy[at++] = node;
                    }
                }

                return copy;
            }
            finally
            {
                _lock.Exit();
            }
        }

        public S3FifoNode? FindLocked(ReadOnlySpan<char> key, int hash)
        {
            _lock.Enter();
            try
            {
                return FindUnderLock(key, hash);
            }
            finally
            {
                _lock.Exit();
            }
        }

        public S3FifoNode FindOrAdd(string key, int hash, LocalEntry entry, out bool isNew)
        {
            _lock.Enter();
            try
            {
                if (FindUnderLock(key, hash) is { } found)
                {
                    isNew = false;
                    return found;
                }

                isNew = true;
                var node = new S3FifoNode(key, entry, hash);
                if (Count >= Buckets.Length)
                {
                    GrowUnderLock();
                }

                ref S3FifoNode? head = ref Buckets[hash & (Buckets.Length - 1)];
                node.NextInBucket = head;
                Volatile.Write(ref head, node);
                Count++;
                return node;
            }
            finally
            {
                _lock.Exit();
            }
        }

        public bool Remove(S3FifoNode node)
        {
            _lock.Enter();
            try
            {
                ref S3FifoNode? link = ref Buckets[node.Hash & (Buckets.Length - 1)];
                while (link is { } at)
                {
                    if (ReferenceEquals(at, node))
                    {
                        Volatile.Write(ref link, node.NextInBucket);
                        Count--;
                        return true;
                    }

                    link = ref at.NextInBucket;
                }

                return false;
            }
            finally
            {
                _lock.Exit();
            }
        }

        private S3FifoNode? FindUnderLock(ReadOnlySpan<char> key, int hash)
        {
            S3FifoNode? node = Buckets[hash & (Buckets.Length - 1)];
            while (node is not null && !(node.Hash == hash && key.SequenceEqual(node.Key)))
            {
                node = node.NextInBucket;
            }

            return node;
        }

        private void GrowUnderLock()
        {
            S3FifoNode?[] old = Buckets;
            var larger = new S3FifoNode?[old.Length * 2];
            Interlocked.Increment(ref Version); // odd; a full fence before the first link moves
            foreach (S3FifoNode? head in old)
            {
                S3FifoNode? node = head;
                while (node is not null)
                {
                    S3FifoNode? next = node.NextInBucket;
                    ref S3FifoNode? to = ref larger[node.Hash & (larger.Length - 1)];
                    node.NextInBucket = to; // a chain under construction holds only nodes that were moved before: no reader can go in circles
                    to = node;
                    node = next;
                }
            }

            Volatile.Write(ref Buckets, larger);
            Interlocked.Increment(ref Version);
        }
    }
}
