namespace Resilience.Caching.Guard;

/// <summary>A count that many threads raise and few read: each thread has a cache line of its own, up to sixteen.</summary>
internal sealed class StripedCounter
{
    private const int Stripes = 16;
    private const int LineInLongs = 16; // two cache lines: the hardware fetches them in pairs
    private readonly long[] _counts = new long[(Stripes + 1) * LineInLongs];

    /// <summary>The sum; not a snapshot.</summary>
    public long Value
    {
        get
        {
            long sum = 0;
            for (int i = 1; i <= Stripes; i++)
            {
                sum += Volatile.Read(ref _counts[i * LineInLongs]);
            }

            return sum;
        }
    }

    /// <summary>Adds one.</summary>
    public void Increment() => Interlocked.Increment(ref _counts[((Environment.CurrentManagedThreadId & (Stripes - 1)) + 1) * LineInLongs]);
}
