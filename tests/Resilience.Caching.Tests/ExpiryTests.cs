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
}
