using Resilience.Context;

namespace Resilience.Caching.Guard;

/// <summary>
/// The hashes added lately, which every rebuild replays: a key that was added before a snapshot began may belong to a row that commits
/// after it, and then neither the snapshot nor a filter that was made later knows it.
/// </summary>
/// <remarks>
/// Chunks of 4,096 hashes, 8 bytes each. A slot is claimed and published by one compare-and-swap, a full fence: an addition that reads
/// the guard's filters afterwards either sees the one under construction or is seen by the replay that follows its publication.
/// Thread-safe.
/// </remarks>
internal sealed class RecentAdditions(CoarseClock clock, Func<TimeSpan> retention)
{
    private const int ChunkSize = 4096;
    private readonly Lock _lock = new(); // guards _sealed and the replacement of _chunk
    private readonly Queue<Chunk> _sealed = new();
    private volatile Chunk _chunk = new();

    /// <summary>How many hashes are kept.</summary>
    public long Count
    {
        get
        {
            lock (_lock)
            {
                return ((long)_sealed.Count * ChunkSize) + Math.Min(_chunk.Hint, ChunkSize);
            }
        }
    }

    /// <summary>Appends a hash; a full fence.</summary>
    public void Append(ulong hash)
    {
        ulong value = hash == 0 ? 1 : hash; // 0 marks a free slot; the one hash in 2⁶⁴ is replayed as both, see Replay
        while (true)
        {
            Chunk chunk = _chunk;
            for (int i = chunk.Hint; i < ChunkSize; i++)
            {
                if (Interlocked.CompareExchange(ref chunk.Slots[i], value, 0) == 0)
                {
                    chunk.Hint = i + 1; // a hint only: racing writers may set it back, the loop walks on
                    return;
                }
            }

            Seal(chunk);
        }
    }

    /// <summary>Adds every kept hash to a filter.</summary>
    public void Replay(SplitBlockBloomFilter filter)
    {
        Chunk[] chunks;
        lock (_lock)
        {
            chunks = [.. _sealed, _chunk];
        }

        foreach (Chunk chunk in chunks)
        {
            for (int i = 0; i < ChunkSize && Volatile.Read(ref chunk.Slots[i]) is not 0 and var hash; i++)
            {
                filter.Add(hash);
                if (hash == 1)
                {
                    filter.Add(0);
                }
            }
        }
    }

    private void Seal(Chunk full)
    {
        lock (_lock)
        {
            if (!ReferenceEquals(_chunk, full))
            {
                return;
            }

            long now = clock.Milliseconds;
            full.SealedAt = now;
            _sealed.Enqueue(full);
            double keep = retention().TotalMilliseconds;
            while (_sealed.TryPeek(out Chunk? oldest) && now - oldest.SealedAt > keep)
            {
                _sealed.Dequeue();
            }

            _chunk = new Chunk();
        }
    }

    private sealed class Chunk
    {
        public readonly ulong[] Slots = new ulong[ChunkSize];
        public int Hint;
        public long SealedAt;
    }
}
