using System.Runtime.CompilerServices;

namespace Resilience.Caching.Telemetry;

/// <summary>What a cache counts.</summary>
internal enum CacheCount
{
    LocalHit,
    StaleServed,
    SharedHit,
    SourceLoad,
    SourceFailure,
    LoadTimeout,
    Joined,
    NegativeHit,
    GuardRefusal,
    Discarded,
    EagerRefresh,
    SoftTimeout,
    Oversized,
    BadFrame,
    SharedFailure,
    SharedTimeout,
    SharedRejected,
    WritesDropped,
    Revalidated,
    Distrusted,
    MessagesSent,
    MessagesHeard,
    Invalidation,
    Replayed,
    LeaseWait,
}

/// <summary>
/// Counters that many threads raise at once. Each thread has a row of its own, a cache line or more apart from the others' (see
/// <see cref="ThreadSlot"/>); a reading adds them up.
/// </summary>
internal sealed class CacheStatistics
{
    private const int RowLength = 32; // longs: 25 counters, padded to whole cache lines
    private readonly long[] _cells = new long[(ThreadSlot.Count + 1) * RowLength];

    public void Add(CacheCount count, long by = 1) => Raise(count, by);

    /// <summary>
    /// Counts a local hit.
    /// </summary>
    /// <returns>
    /// Whether it is one of those, about one in a thousand, whose key is noted: multiples of the golden ratio are spread evenly and keep
    /// step with no pattern of reads.
    /// </returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool AddHit() => (ulong)Raise(CacheCount.LocalHit, 1) * 0x9E3779B97F4A7C15 >> 54 == 0;

    public long Read(CacheCount count)
    {
        long sum = 0;
        for (int row = 0; row < ThreadSlot.Count; row++)
        {
            sum += Volatile.Read(ref _cells[Cell(row, count)]);
        }

        return sum;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private long Raise(CacheCount count, long by)
    {
        int row = ThreadSlot.Current;
        ref long cell = ref _cells[Cell(row, count)];
        return row < ThreadSlot.Owned ? cell += by : Interlocked.Add(ref cell, by);
    }

    private static int Cell(int row, CacheCount count) => (row * RowLength) + 8 + (int)count;
}
