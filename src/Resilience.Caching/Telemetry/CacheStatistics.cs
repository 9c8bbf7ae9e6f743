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
