using Resilience.Caching.Local;
using Resilience.Caching.Shared;
using Resilience.Caching.Tests.Shared;
using Resilience.Settings;
using Resilience.TestKit;

namespace Resilience.Caching.Tests;

/// <summary>Makes caches for tests: no jitter, a clock of the test's, no container.</summary>
internal static class TestCache
{
    public static ResilientCache New(TimeProvider? time = null, Action<CacheOptions>? configure = null, FakeSharedTier? shared = null, bool hasBackplane = false, Func<CacheParts, CacheParts>? parts = null, string name = "test")
    {
        var options = new CacheOptions { Jitter = 0, Expiration = TimeSpan.FromSeconds(60), StaleFor = TimeSpan.FromSeconds(600) };
        configure?.Invoke(options);
        var made = new CacheParts
        {
            Time = time ?? TimeProvider.System,
            Shared = shared,
            Leases = shared,
            Backplane = hasBackplane ? shared : null,
            Random = () => 0.5,
        };
        return new ResilientCache(LiveSettings<CacheOptions>.Of(name, $"Resilience:Caches:{name}", options), parts?.Invoke(made) ?? made);
    }

    /// <summary>Gets a value from a factory that counts its calls.</summary>
    public static ValueTask<T> GetAsync<T>(this ResilientCache cache, string key, Func<CancellationToken, ValueTask<T>> factory, CacheEntryOptions? options = null, string[]? tags = null, CancellationToken cancellationToken = default) =>
        cache.GetOrCreateAsync<Func<CancellationToken, ValueTask<T>>, T>(key, factory, static (_, make, token) => make(token), options, tags, cancellationToken);

    public static ValueTask<string> GetAsync(this ResilientCache cache, string key, string value, CacheEntryOptions? options = null, string[]? tags = null) =>
        cache.GetAsync(key, _ => new ValueTask<string>(value), options, tags);

    /// <summary>A value that must be there already: its factory fails the test.</summary>
    public static ValueTask<string> GetCachedAsync(this ResilientCache cache, string key, string[]? tags = null) =>
        cache.GetAsync<string>(key, _ => throw new InvalidOperationException("The source was asked."), null, tags);
}
