namespace Resilience.Caching.Invalidation;

/// <summary>
/// The node's own count of invalidations: the logical clock by which a value is older or younger than an invalidation. It replaces wall
/// clocks, which every comparison between threads or nodes would have to trust.
/// </summary>
internal sealed class InvalidationCount
{
    private long _value;

    /// <summary>The number of the latest invalidation. A load reads it before it reads its source.</summary>
    public long Current => Volatile.Read(ref _value);

    /// <summary>The number of a new invalidation: every load that begins from here on is younger.</summary>
    public long Next() => Interlocked.Increment(ref _value);

    /// <summary>Takes a number of which everything is in place already, unless another has taken it.</summary>
    public bool TryTake(long number) => Interlocked.CompareExchange(ref _value, number, number - 1) == number - 1;
}
