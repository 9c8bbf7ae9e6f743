namespace Resilience.Degrade;

/// <summary>The bulkhead around the fallbacks of one feature: so many at a time, the next is refused at once. Outlives reloads, so that none is counted twice.</summary>
internal sealed class FallbackGate
{
    private int _running;

    public int Running => Volatile.Read(ref _running);

    public bool TryEnter(int limit)
    {
        if (Interlocked.Increment(ref _running) <= limit)
        {
            return true;
        }

        Interlocked.Decrement(ref _running);
        return false;
    }

    public void Leave() => Interlocked.Decrement(ref _running);
}
