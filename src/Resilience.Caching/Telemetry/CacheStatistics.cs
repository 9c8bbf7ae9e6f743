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
/// Counters that many threads raise at once. Each thread has a row of its own, more or less, a cache line apart from the others'; a
/// reading adds them up.
/// </summary>
internal sealed class CacheStatistics
{
    private const int Rows = 16;
    private const int RowLength = 32; // longs: 25 counters, padded to whole cache lines
    private readonly long[] _cells = new long[(Rows + 1) * RowLength];

    public void Add(CacheCount count) => Interlocked.Increment(ref Cell(count));

    /// <summary>
    /// Counts a local hit.
    /// </summary>
    /// <returns>
    /// Whether it is one of those, about one in a thousand, whose key is noted: multiples of the golden ratio are spread evenly and keep
    /// step with no pattern of reads.
    /// </returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool AddHit() => (ulong)Interlocked.Increment(ref Cell(CacheCount.LocalHit)) * 0x9E3779B97F4A7C15 >> 54 == 0;

    public void Add(CacheCount count, long by) => Interlocked.Add(ref Cell(count), by);

    public long Read(CacheCount count)
    {
        long sum = 0;
        for (int row = 0; row < Rows; row++)
        {
            sum += Volatile.Read(ref _cells[(row * RowLength) + 8 + (int)count]);
        }

        return sum;
    }

    private ref long Cell(CacheCount count) =>
        ref _cells[((Environment.CurrentManagedThreadId & (Rows - 1)) * RowLength) + 8 + (int)count];
}
