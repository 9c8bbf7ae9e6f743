using System.Globalization;

namespace Resilience.Pools;

/// <summary>The backend is known to be down: so many creations failed in a row, and nothing living may come free. Nobody waits for it.</summary>
public sealed class PoolUnavailableException : PoolException
{
    internal PoolUnavailableException(string poolName, int failures, TimeSpan retryAfter, Exception? cause)
        : base(poolName, string.Create(CultureInfo.InvariantCulture, $"Pool '{poolName}': the last {failures} attempts to create a resource failed ({cause?.GetType().Name ?? "no cause known"}), no resource is left, and the next attempt comes in {retryAfter.TotalMilliseconds:0} ms. See the inner exception; callers are let in again as soon as one attempt succeeds."), cause)
    {
        Failures = failures;
        RetryAfter = retryAfter;
    }

    /// <summary>How many attempts failed in a row.</summary>
    public int Failures { get; }

    /// <summary>When the next attempt comes.</summary>
    public TimeSpan RetryAfter { get; }
}
