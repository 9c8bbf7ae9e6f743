using System.Globalization;

namespace Resilience.Pools;

/// <summary>The rate limit in front of the pool let nobody through.</summary>
public sealed class PoolRejectedException : PoolException
{
    internal PoolRejectedException(string poolName, TimeSpan? retryAfter)
        : base(poolName, string.Create(CultureInfo.InvariantCulture, $"Pool '{poolName}': refused by its rate limit{(retryAfter is { } after ? $", a permit is due in {after.TotalMilliseconds:0} ms" : "")}. Raise the limit, spread the calls, or let callers wait for permits."))
    {
        RetryAfter = retryAfter;
    }

    /// <summary>When it is worth trying again, if the limiter knows.</summary>
    public TimeSpan? RetryAfter { get; }
}
