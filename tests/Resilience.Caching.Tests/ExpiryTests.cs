using Resilience.Caching.Local;
using Resilience.Caching.Tests.Shared;
using Resilience.TestKit;

namespace Resilience.Caching.Tests;

/// <summary>Jitter, throttle, negative and failure entries, entry options one by one.</summary>
public sealed class ExpiryTests
{
    private readonly ManualTimeProvider _time = new();

    [Fact]
    public async Task Jitter_Default_IsSymmetricAroundTheExpirationAndSpreadsIt()
    {
        await using ResilientCache cache = TestCache.New(_time, options => (options.Jitter, options.Expiration) = (0.1, TimeSpan.FromSeconds(1000)), parts: parts => parts with { Random = new Random(5).NextDouble });
        var lives = new List<double>();
        for (int i = 0; i < 2_000; i++)
        {
            await cache.SetAsync($"key{i}", "x");
        }

        lives.AddRange(cache.Inspector.Entries(most: 1000).Entries.Select(entry => entry.FreshFor.TotalSeconds));
        Assert.InRange(lives.Min(), 900, 910);
        Assert.InRange(lives.Max(), 1090, 1100);
        Assert.InRange(lives.Average(), 990, 1010);
        Assert.Equal(0.1, new CacheOptions().Jitter);
    }

    [Fact]
    public async Task EagerRefreshPoint_IsJitteredToo()
    {
        await using ResilientCache cache = TestCache.New(_time, options => (options.Jitter, options.EagerRefresh, options.Expiration) = (0.2, 0.5, TimeSpan.FromSeconds(1000)), parts: parts => parts with { Random = new Random(5).NextDouble });
        var points = new HashSet<long>();
        for (int i = 0; i < 100; i++)
        {
            await cache.SetAsync($"key{i}", "x");
            LocalEntry entry = cache.Core.Local.Find($"key{i}")!;
            points.Add((entry.ActAt - cache.Core.Clock.Milliseconds) * 1000 / (entry.ExpiresAt - cache.Core.Clock.Milliseconds));
        }

        Assert.True(points.Count > 20, $"{points.Count} different points");
        Assert.InRange(points.Min(), 440, 500);
        Assert.InRange(points.Max(), 500, 560);
    }

    [Fact]
    public async Task StaleThrottle_Zero_AsksTheSourceEachTime()
    {
        await using ResilientCache cache = TestCache.New(_time, options => options.StaleThrottle = TimeSpan.Zero);
        await cache.GetAsync("key", "old");
        _time.Advance(TimeSpan.FromSeconds(61));
        int calls = 0;
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal("old", await cache.GetAsync<string>("key", _ => ++calls > 0 ? throw new InvalidDataException() : default));
        }

        Assert.Equal(3, calls);
    }

    [Fact]
    public async Task StaleFor_Zero_SwitchesFailSafeOff()
    {
        await using ResilientCache cache = TestCache.New(_time);
        var options = new CacheEntryOptions { StaleFor = TimeSpan.Zero };
        await cache.GetAsync("key", "old", options);
        _time.Advance(TimeSpan.FromSeconds(61));
        await Assert.ThrowsAsync<InvalidDataException>(async () => await cache.GetAsync<string>("key", _ => throw new InvalidDataException(), options));
    }

    [Fact]
    public async Task FailureExpiration_StaleCopyAtHand_StandsInInstead()
    {
        await using ResilientCache cache = TestCache.New(_time);
        var options = new CacheEntryOptions { FailureExpiration = TimeSpan.FromMinutes(1) };
        await cache.GetAsync("key", "old", options);
        _time.Advance(TimeSpan.FromSeconds(61));
        Assert.Equal("old", await cache.GetAsync<string>("key", _ => throw new InvalidDataException(), options));
        Assert.Equal("old", await cache.GetCachedAsync("key"));
    }

    [Fact]
    public async Task FailureExpiration_RemoveOrSet_EndsIt()
    {
        await using ResilientCache cache = TestCache.New(_time);
        var options = new CacheEntryOptions { FailureExpiration = TimeSpan.FromMinutes(1) };
        foreach (string key in (string[])["removed", "set", "tagged"])
        {
            await Assert.ThrowsAsync<InvalidDataException>(async () => await cache.GetAsync<string>(key, _ => throw new InvalidDataException(), options, ["tag"]));
            Assert.False(cache.TryGet<string>(key).HasValue);
        }

        await cache.RemoveAsync("removed");
        await cache.SetAsync("set", "value");
        Assert.Equal("value", await cache.GetAsync("removed", "value", options));
        Assert.Equal("value", await cache.GetCachedAsync("set"));
        await cache.RemoveByTagAsync("tag");
        Assert.Equal("value", await cache.GetAsync("tagged", "value", options));
    }

    [Fact]
    public async Task FailureExpiration_OneRememberedFailureInABatch_LeavesNoFlightBehind()
    {
        await using ResilientCache cache = TestCache.New(_time);
        var options = new CacheEntryOptions { FailureExpiration = TimeSpan.FromMinutes(1) };
        await Assert.ThrowsAsync<InvalidDataException>(async () => await cache.GetAsync<string>("bad", _ => throw new InvalidDataException(), options));
        await Assert.ThrowsAsync<InvalidDataException>(async () => await cache.ManyAsync(["good", "bad"], keys => keys.Select(key => (key, "x"))));
        Assert.Equal(0, cache.Snapshot().Flights);
        Assert.Equal("value", await cache.GetAsync("good", "value").Soon());
    }

    [Fact]
    public async Task Size_And_Priority_GoToTheLocalTier()
    {
        await using ResilientCache cache = TestCache.New(_time);
        await cache.SetAsync("key", "value", new CacheEntryOptions { Size = 12_345, Priority = CacheEntryPriority.High });
        LocalEntry entry = cache.Core.Local.Find("key")!;
        Assert.Equal((12_345, CacheEntryPriority.High), (entry.Weight, entry.Priority));
        await cache.SetAsync("measured", new string('x', 1000));
        Assert.InRange(cache.Core.Local.Find("measured")!.Weight, 2_000, 2_500);
    }

    [Theory]
    [InlineData(nameof(CacheEntryOptions.Expiration))]
    [InlineData(nameof(CacheEntryOptions.LocalExpiration))]
    [InlineData(nameof(CacheEntryOptions.Jitter))]
    [InlineData(nameof(CacheEntryOptions.StaleFor))]
    [InlineData(nameof(CacheEntryOptions.StaleThrottle))]
    [InlineData(nameof(CacheEntryOptions.SoftTimeout))]
    [InlineData(nameof(CacheEntryOptions.LoadTimeout))]
    [InlineData(nameof(CacheEntryOptions.EagerRefresh))]
    [InlineData(nameof(CacheEntryOptions.Beta))]
    [InlineData(nameof(CacheEntryOptions.NegativeExpiration))]
    [InlineData(nameof(CacheEntryOptions.FailureExpiration))]
    [InlineData(nameof(CacheEntryOptions.Sliding))]
    [InlineData(nameof(CacheEntryOptions.Size))]
    public async Task Options_OutOfRange_ThrowNamingTheProperty(string property)
    {
        await using ResilientCache cache = TestCache.New(_time);
        var options = new CacheEntryOptions();
        var info = typeof(CacheEntryOptions).GetProperty(property)!;
        object bad = info.PropertyType == typeof(TimeSpan?) ? TimeSpan.FromDays(-1) : info.PropertyType == typeof(long?) ? 0L : (object)-0.1;
        info.SetValue(options, bad);
        ArgumentOutOfRangeException failure = await Assert.ThrowsAsync<ArgumentOutOfRangeException>(async () => await cache.GetAsync("key", "x", options));
        Assert.Equal(property, failure.ParamName);
        Assert.Contains(property, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task EagerRefresh_InABatch_RefreshesWhatIsDueByOneCall()
    {
        await using ResilientCache cache = TestCache.New(_time);
        var options = new CacheEntryOptions { EagerRefresh = 0.5 };
        await cache.ManyAsync(["a", "b"], keys => keys.Select(key => (key, "old")), options);
        _time.Advance(TimeSpan.FromSeconds(31));
        await cache.SetAsync("c", "fresh");
        var asked = new List<string[]>();
        IReadOnlyDictionary<string, string> read = await cache.ManyAsync(["a", "b", "c"], keys =>
        {
            lock (asked)
            {
                asked.Add([.. keys]);
            }

            return keys.Select(key => (key, "new"));
        }, options);
        Assert.Equal(["old", "old", "fresh"], new[] { "a", "b", "c" }.Select(key => read[key]));
        TestCache.Until(() => cache.TryGet<string>("a").Value == "new" && cache.TryGet<string>("b").Value == "new", "the refresh");
        Assert.Equal(["a", "b"], Assert.Single(asked));
    }

    [Fact]
    public async Task Many_LoadTimeout_IsAbandonedAndItsKeysAreFree()
    {
        await using ResilientCache cache = TestCache.New(_time, options => options.MaxConcurrentLoads = 1);
        var hung = new TaskCompletionSource<IReadOnlyDictionary<string, string>>(TaskCreationOptions.RunContinuationsAsynchronously);
        CancellationToken seen = default;
        Task<IReadOnlyDictionary<string, string>> read = cache.GetOrCreateManyAsync<int, string>(["a", "b"], 0, (_, _, token) =>
        {
            seen = token;
            return new ValueTask<IReadOnlyDictionary<string, string>>(hung.Task);
        }, new CacheEntryOptions { LoadTimeout = TimeSpan.FromSeconds(5) }).AsTask();
        Task<string> waiting = cache.GetAsync("other", "after").AsTask(); // The only permit is the batch's.
        Assert.False(waiting.IsCompleted);
        _time.Advance(TimeSpan.FromSeconds(5));
        await Assert.ThrowsAsync<CacheLoadTimeoutException>(() => read.Soon());
        Assert.True(seen.IsCancellationRequested);
        Assert.Equal("after", await waiting.Soon());
        Assert.Equal("second", await cache.GetAsync("a", "second"));
        hung.SetResult(new Dictionary<string, string> { ["a"] = "late" });
        Assert.Equal("second", await cache.GetCachedAsync("a"));
    }

    [Fact]
    public async Task Many_AllCallersLeave_CancelsTheCall()
    {
        await using ResilientCache cache = TestCache.New(_time);
        var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var source = new CancellationTokenSource();
        Task<IReadOnlyDictionary<string, string>> read = cache.GetOrCreateManyAsync<int, string>(["a", "b"], 0, async (_, _, token) =>
        {
            await using CancellationTokenRegistration registration = token.Register(cancelled.SetResult);
            await Task.Delay(Timeout.Infinite, token);
            return new Dictionary<string, string>();
        }, cancellationToken: source.Token).AsTask();
        Task<string> joiner = cache.GetAsync("a", _ => new ValueTask<string>("joins"), cancellationToken: source.Token).AsTask();
        await source.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read.Soon());
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => joiner.Soon());
        await cancelled.Task.Soon();
        Assert.Equal("free", await cache.GetAsync("a", "free").Soon());
    }
}
