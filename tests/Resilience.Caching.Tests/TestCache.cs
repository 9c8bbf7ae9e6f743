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
            Time = time ?? new ManualTimeProvider(), // stands still: no timeout of a busy machine gets between
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

    /// <summary>Gets a value from a factory that sees its load.</summary>
    public static ValueTask<T> LoadAsync<T>(this ResilientCache cache, string key, Func<CacheLoad<T>, T> factory, CacheEntryOptions? options = null, string[]? tags = null) =>
        cache.GetOrCreateAsync<T>(key, (load, _) => new ValueTask<T>(factory(load)), options, tags);

    /// <summary>Gets many from a synchronous factory.</summary>
    public static ValueTask<IReadOnlyDictionary<string, string>> ManyAsync(this ResilientCache cache, string[] keys, Func<IReadOnlyList<string>, IEnumerable<(string Key, string Value)>> factory, CacheEntryOptions? options = null, string[]? tags = null) =>
        cache.GetOrCreateManyAsync<int, string>(keys, 0, (asked, _, _) => new ValueTask<IReadOnlyDictionary<string, string>>(factory(asked).ToDictionary(pair => pair.Key, pair => pair.Value)), options, tags);

    /// <summary>Waits for a condition that is bound to come true.</summary>
    public static void Until(Func<bool> condition, string what = "what was waited for") =>
        Assert.True(SpinWait.SpinUntil(condition, TimeSpan.FromSeconds(30)), $"Not within 30 s: {what}.");

    /// <summary>Waits until nothing flies any more. A flight answers before it ends: who has the answer may be ahead of its end.</summary>
    public static void UntilNoFlights(ResilientCache cache) => Until(() => cache.Snapshot().Flights == 0, "the flights' end");

    /// <summary>Bounds a wait that must end by itself.</summary>
    public static Task<T> Soon<T>(this Task<T> task) => task.WaitAsync(TimeSpan.FromSeconds(30));

    public static Task<T> Soon<T>(this ValueTask<T> task) => task.AsTask().WaitAsync(TimeSpan.FromSeconds(30));

    public static Task Soon(this Task task) => task.WaitAsync(TimeSpan.FromSeconds(30));
}
