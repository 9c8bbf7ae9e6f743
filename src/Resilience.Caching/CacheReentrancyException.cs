namespace Resilience.Caching;

/// <summary>A factory asked, directly or through others, for the key that it is loading: it would wait for itself.</summary>
public sealed class CacheReentrancyException : InvalidOperationException
{
    /// <summary>Makes the exception.</summary>
    /// <param name="cache">The cache's name.</param>
    /// <param name="chain">The keys from the first load to the one asked for again.</param>
    public CacheReentrancyException(string cache, IReadOnlyList<string> chain)
        : base($"Cache '{cache}': a factory asked for the key that it is loading, {chain?.Count ?? 0} loads deep, and would wait for itself. See Chain for the keys; load the inner value from its source, or under a key of its own.")
    {
        CacheName = cache;
        Chain = chain ?? [];
    }

    /// <summary>The cache.</summary>
    public string CacheName { get; }

    /// <summary>The keys, outermost load first, the key that was asked for again last. Not part of the message: keys may be personal data.</summary>
    public IReadOnlyList<string> Chain { get; }
}
