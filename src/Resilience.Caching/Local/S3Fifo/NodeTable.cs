using System.Numerics;
using System.Runtime.CompilerServices;

namespace Resilience.Caching.Local.S3Fifo;

/// <summary>
/// A concurrent hash table whose entries are the engine's own nodes: a read is two array look-ups and the node, a write allocates nothing
/// but the node, and removing a node needs neither its key's hash nor a comparison again.
/// </summary>
/// <remarks>
/// <para>A node has a value exactly while it is in the table: both change under the segment's lock, so that of an eviction, a removal and a
/// replacement each finds the work of the one before it.</para>
/// <para>Segments, each with its lock and its buckets, grow by themselves and bit by bit: a doubled array takes every chain over twice, at its
/// bucket and at the one that is to get a half of it, which serves readers at once; a chain is parted when it is written to,
/// and one more with every addition. So nobody ever waits for a whole segment to be moved.</para>
/// <para>Reads take no lock. A removed node keeps its link and is never put back, so that a reader who stands on it finds the rest of the chain.
/// Only the parting of a chain moves nodes and may lead a reader astray; it makes the segment's version odd while it does,
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

    /// <summary>Puts a value into the node of a key, or adds one.</summary>
    /// <param name="key">The key.</param>
    /// <param name="hash">Its hash.</param>
    /// <param name="value">The value.</param>
    /// <param name="old">The value that it replaces; <see langword="null"/> where the node is a new one.</param>
    public S3FifoNode Put(string key, int hash, LocalEntry value, out LocalEntry? old) => SegmentOf(hash).Put(key, hash, value, out old);

    /// <summary>Takes a node out, and its value from it.</summary>
    /// <param name="node">The node.</param>
    /// <param name="expected">The value that it must have; <see langword="null"/> for any.</param>
    /// <returns>Whether it was in, with that value.</returns>
    public bool Remove(S3FifoNode node, LocalEntry? expected = null) => SegmentOf(node.Hash).Remove(node, expected);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Segment SegmentOf(int hash) => _segments[(uint)hash >> _shift];

    private sealed class Segment
    {
        public S3FifoNode?[] Buckets = new S3FifoNode?[LeastBuckets];
        public int Version;
        private TryLock _lock; // guards all writes of chains, of the nodes' values, Buckets, Version, Count and the fields below
        private int _half; // how many buckets there were before the last growth; 0 while no chain is left to part
        private int _parted; // below it all chains are parted
        private ulong[] _whole = []; // a bit for each of the first half's chains that is not

        public int Count { get; private set; }

        public S3FifoNode[] Copy()
        {
            _lock.Enter();
            try
            {
                while (_half != 0)
                {
                    PartNextUnderLock();
                }

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

        public S3FifoNode Put(string key, int hash, LocalEntry value, out LocalEntry? old)
        {
            _lock.Enter();
            try
            {
                PartUnderLock(hash);
                if (FindUnderLock(key, hash) is { } found)
                {
                    old = found.Value;
                    found.Value = value;
                    return found;
                }

                old = null;
                var node = new S3FifoNode(key, value, hash);
                if (Count >= Buckets.Length)
                {
                    GrowUnderLock();
                }

                if (_half != 0)
                {
                    PartUnderLock(hash);
                    PartNextUnderLock();
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

        public bool Remove(S3FifoNode node, LocalEntry? expected)
        {
            _lock.Enter();
            try
            {
                if (expected is not null && !ReferenceEquals(node.Value, expected))
                {
                    return false;
                }

                PartUnderLock(node.Hash);
                ref S3FifoNode? link = ref Buckets[node.Hash & (Buckets.Length - 1)];
                while (link is { } at)
                {
                    if (ReferenceEquals(at, node))
                    {
                        Volatile.Write(ref link, node.NextInBucket);
                        node.Value = null;
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
            while (_half != 0)
            {
                PartNextUnderLock(); // none is left: since the last growth there were as many additions as chains to part
            }

            S3FifoNode?[] old = Buckets;
            var larger = new S3FifoNode?[old.Length * 2];
            Array.Copy(old, larger, old.Length);
            Array.Copy(old, 0, larger, old.Length, old.Length);
            _half = old.Length;
            _parted = 0;
            _whole = new ulong[(old.Length + 63) / 64];
            Array.Fill(_whole, ulong.MaxValue);
            Volatile.Write(ref Buckets, larger);
        }

        /// <summary>Parts the chain that a hash belongs to, if that is still to be done. Whoever changes a chain calls it first.</summary>
        private void PartUnderLock(int hash)
        {
            if (_half != 0)
            {
                PartBucketUnderLock(hash & (_half - 1));
            }
        }

        private void PartNextUnderLock()
        {
            PartBucketUnderLock(_parted++);
            if (_parted >= _half)
            {
                _half = 0;
                _whole = [];
            }
        }

        private void PartBucketUnderLock(int bucket)
        {
            ref ulong bits = ref _whole[bucket >> 6];
            ulong bit = 1UL << (bucket & 63);
            if ((bits & bit) == 0)
            {
                return;
            }

            bits &= ~bit;
            if (Buckets[bucket] is not { } node)
            {
                return;
            }

            S3FifoNode? low = null;
            S3FifoNode? high = null;
            Interlocked.Increment(ref Version); // odd; a full fence before the first link moves
            for (S3FifoNode? next = node; next is not null;)
            {
                node = next;
                next = node.NextInBucket;
                ref S3FifoNode? to = ref ((node.Hash & _half) == 0 ? ref low : ref high);
                node.NextInBucket = to; // a chain under construction holds only nodes that were moved before: no reader can go in circles
                to = node;
            }

            Volatile.Write(ref Buckets[bucket], low);
            Volatile.Write(ref Buckets[bucket + _half], high);
            Interlocked.Increment(ref Version);
        }
    }
}
