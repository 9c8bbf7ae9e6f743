using System.Collections.Concurrent;

namespace Resilience.Incidents.Instruments;

/// <summary>
/// A database as its clients see it: so many queries at a time, each of some length; what is more waits in line. It counts what it is
/// asked, and how often it works on the same key twice at once.
/// </summary>
internal sealed class Source(int slots, TimeSpan query)
{
    private readonly SemaphoreSlim _slots = new(slots);
    private readonly ConcurrentDictionary<string, int> _running = new();
    private long _calls;
    private int _waiting;
    private int _peak;
    private int _peakSinceTaken;
    private int _peakPerKey;

    /// <summary>How many calls there have been.</summary>
    public long Calls => Interlocked.Read(ref _calls);

    /// <summary>The most calls that were at the source at once, being served or in line.</summary>
    public int Peak => Volatile.Read(ref _peak);

    /// <summary>The most calls for one key at once.</summary>
    public int PeakPerKey => Volatile.Read(ref _peakPerKey);

    /// <summary>The most calls at once since this was last asked.</summary>
    public int TakePeak() => Interlocked.Exchange(ref _peakSinceTaken, Volatile.Read(ref _waiting));

    /// <summary>Forgets the counts, as between warm-up and measurement.</summary>
    public void Reset()
    {
        Interlocked.Exchange(ref _calls, 0);
        Volatile.Write(ref _peak, 0);
        Volatile.Write(ref _peakPerKey, 0);
    }

    public async Task QueryAsync(string key, CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref _calls);
        int waiting = Interlocked.Increment(ref _waiting);
        Raise(ref _peak, waiting);
        Raise(ref _peakSinceTaken, waiting);
        Raise(ref _peakPerKey, _running.AddOrUpdate(key, 1, static (_, count) => count + 1));
        try
        {
            await _slots.WaitAsync(cancellationToken);
            try
            {
                await Task.Delay(query, CancellationToken.None); // a query that runs is not called back
            }
            finally
            {
                _slots.Release();
            }
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
            _running.AddOrUpdate(key, 0, static (_, count) => count - 1);
        }
    }

    private static void Raise(ref int peak, int value)
    {
        int seen = Volatile.Read(ref peak);
        while (value > seen && Interlocked.CompareExchange(ref peak, value, seen) is var now && now != seen)
        {
            seen = now;
        }
    }
}
