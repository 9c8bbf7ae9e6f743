namespace Resilience.Caching;

/// <summary>A load took longer than its timeout: it was cancelled and abandoned, and no stale copy was there to stand in.</summary>
public sealed class CacheLoadTimeoutException : TimeoutException
{
    /// <summary>Makes the exception.</summary>
    /// <param name="cache">The cache's name.</param>
    /// <param name="timeout">How long the load was given.</param>
    public CacheLoadTimeoutException(string cache, TimeSpan timeout)
        : base($"Cache '{cache}': a load was not done within {timeout.TotalMilliseconds:0} ms and was abandoned; no stale copy was at hand. Raise LoadTimeout, make the source faster, or set StaleFor.")
    {
        CacheName = cache;
        Timeout = timeout;
    }

    /// <summary>The cache.</summary>
    public string CacheName { get; }

    /// <summary>How long the load was given.</summary>
    public TimeSpan Timeout { get; }
}
