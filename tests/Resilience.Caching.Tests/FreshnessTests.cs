using Microsoft.Extensions.Caching.Hybrid;
using Resilience.Caching.Local;
using Resilience.Caching.Tests.Shared;
using Resilience.TestKit;

namespace Resilience.Caching.Tests;

public sealed class FreshnessTests
{
    private readonly ManualTimeProvider _time = new();

    [Fact]
    public async Task FailSafe_SourceFails_StaleStandsInAndTheSourceIsLeftAlone()
    {
        await using ResilientCache cache = TestCache.New(_time, options => options.StaleThrottle = TimeSpan.FromSeconds(5));
        await cache.GetAsync("key", "old");
        _time.Advance(TimeSpan.FromSeconds(61));
        int calls = 0;
        ValueTask<string> Fail(CancellationToken token)
        {
            calls++;
            throw new InvalidDataException();
        }

        for (int i = 0; i < 10; i++)
        {
            Assert.Equal("old", await cache.GetAsync("key", Fail));
        }

        Assert.Equal(1, calls);
        Assert.True(cache.TryGet<string>("key").IsStale);
        Assert.Equal(10, cache.Snapshot().StaleServed);
        _time.Advance(TimeSpan.FromSeconds(6));
        Assert.Equal("old", await cache.GetAsync("key", Fail));
        Assert.Equal(2, calls);
        _time.Advance(TimeSpan.FromSeconds(600));
        await Assert.ThrowsAsync<InvalidDataException>(async () => await cache.GetAsync("key", Fail));
    }

    [Fact]
    public async Task SoftTimeout_StaleCopyAtHand_AnswersItAndTheLoadGoesOn()
    {
        await using ResilientCache cache = TestCache.New(_time);
        await cache.GetAsync("key", "old");
        _time.Advance(TimeSpan.FromSeconds(61));
        var gate = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> read = cache.GetAsync("key", _ => new ValueTask<string>(gate.Task), new CacheEntryOptions { SoftTimeout = TimeSpan.FromMilliseconds(100) }).AsTask();
        Assert.False(read.IsCompleted);
        _time.Advance(TimeSpan.FromMilliseconds(100));
        Assert.Equal("old", await read);
        gate.SetResult("new");
        TestCache.Until(() => cache.Snapshot().Flights == 0, "the load's end");
        Assert.Equal("new", await cache.GetCachedAsync("key"));
    }

    [Fact]
    public async Task EagerRefresh_PointPassed_ReaderGetsTheOldValueAndOneRefreshRuns()
    {
        await using ResilientCache cache = TestCache.New(_time);
        var options = new CacheEntryOptions { EagerRefresh = 0.8 };
        await cache.GetAsync("key", "old", options);
        _time.Advance(TimeSpan.FromSeconds(47));
        Assert.Equal("old", await cache.GetAsync("key", "new", options));
        Assert.Equal(0, cache.Snapshot().EagerRefreshes);
        _time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal("old", await cache.GetAsync("key", "new", options));
        Assert.Equal("old", cache.TryGet<string>("key") is { IsStale: false } ? "old" : "stale");
        TestCache.Until(() => cache.TryGet<string>("key").Value == "new", "the refresh");
        Assert.Equal(1, cache.Snapshot().EagerRefreshes);
        _time.Advance(TimeSpan.FromSeconds(40));
        Assert.Equal("new", await cache.GetCachedAsync("key"));
    }

    [Fact]
    public async Task EagerRefresh_Fails_CostsNobodyAnything()
    {
        await using ResilientCache cache = TestCache.New(_time);
        var options = new CacheEntryOptions { EagerRefresh = 0.5 };
        await cache.GetAsync("key", "old", options);
        _time.Advance(TimeSpan.FromSeconds(31));
        Assert.Equal("old", await cache.GetAsync<string>("key", _ => throw new InvalidDataException(), options));
        TestCache.Until(() => cache.Snapshot().SourceFailures == 1, "the failure");
        Assert.False(cache.TryGet<string>("key").IsStale);
    }

    [Fact]
    public async Task Beta_LoadThatCosts_IsRefreshedAheadOfItsExpiry()
    {
        await using ResilientCache cache = TestCache.New(_time);
        var options = new CacheEntryOptions { Beta = 1 };
        await cache.GetAsync("key", async _ =>
        {
            _time.Advance(TimeSpan.FromSeconds(10));
            await Task.Yield();
            return "old";
        }, options);

        // The lead is 10 s x -ln(1 - 0.5), about 6.9 s.
        _time.Advance(TimeSpan.FromSeconds(52));
        Assert.Equal("old", await cache.GetAsync("key", "new", options));
        Assert.Equal(0, cache.Snapshot().EagerRefreshes);
        _time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal("old", await cache.GetAsync("key", "new", options));
        Assert.Equal(1, cache.Snapshot().EagerRefreshes);
    }

    [Fact]
    public async Task Sliding_ReadInTime_LivesOnUpToItsExpiration()
    {
        await using ResilientCache cache = TestCache.New(_time, options => options.StaleFor = TimeSpan.Zero);
        var options = new CacheEntryOptions { Sliding = TimeSpan.FromSeconds(10) };
        await cache.GetAsync("key", "value", options);
        for (int i = 0; i < 7; i++)
        {
            _time.Advance(TimeSpan.FromSeconds(8));
            Assert.Equal("value", await cache.GetAsync<string>("key", _ => throw new InvalidOperationException(), options));
        }

        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal("next", await cache.GetAsync("key", "next", options));
        _time.Advance(TimeSpan.FromSeconds(11));
        Assert.Equal("third", await cache.GetAsync("key", "third", options));
    }

    [Fact]
    public async Task Absent_IsRememberedForItsOwnTimeAndIsNoNull()
    {
        await using ResilientCache cache = TestCache.New(_time, options => options.NegativeExpiration = TimeSpan.FromSeconds(5));
        int calls = 0;
        ValueTask<string?> Read() => cache.GetOrCreateAsync<string?>("key", (load, _) =>
        {
            calls++;
            return new ValueTask<string?>(load.Absent());
        });
        Assert.Null(await Read());
        Assert.Null(await Read());
        Assert.Equal(1, calls);
        Assert.True(cache.TryGet<string>("key").IsKnownAbsent);
        Assert.Null(await cache.GetAsync<string?>("null", _ => new ValueTask<string?>((string?)null)));
        Assert.True(cache.TryGet<string>("null").HasValue);
        _time.Advance(TimeSpan.FromSeconds(5));
        await Read();
        Assert.Equal(2, calls);
    }

    [Fact]
    public async Task NotModified_StaleValueAndItsValidatorsAreFreshAgain()
    {
        await using ResilientCache cache = TestCache.New(_time);
        await cache.GetOrCreateAsync<string>("key", (load, _) =>
        {
            load.ETag = "v1";
            return new ValueTask<string>("value");
        });
        _time.Advance(TimeSpan.FromSeconds(61));
        for (int i = 0; i < 2; i++)
        {
            Assert.Equal("value", await cache.GetOrCreateAsync<string>("key", (load, _) =>
            {
                Assert.Equal("v1", load.ETag);
                Assert.Equal("value", load.StaleValue);
                return new ValueTask<string>(load.NotModified());
            }));
            Assert.False(cache.TryGet<string>("key").IsStale);
            _time.Advance(TimeSpan.FromSeconds(61));
        }
    }

    [Fact]
    public async Task Jitter_DrawnOnce_LocalNeverOutlivesShared()
    {
        var tier = new FakeSharedTier();
        double draw = 0;
        await using ResilientCache one = TestCache.New(_time, options => options.Jitter = 0.5, tier, parts: parts => parts with { Random = () => draw });
        await using ResilientCache two = TestCache.New(_time, options => options.Jitter = 0.5, tier, parts: parts => parts with { Random = () => 1 });
        await one.SetAsync("key", "value");
        Assert.Equal("value", await two.GetAsync("key", "?"));
        _time.Advance(TimeSpan.FromSeconds(31));
        Assert.True(one.TryGet<string>("key").IsStale);
        Assert.True(two.TryGet<string>("key").IsStale);
    }

    [Fact]
    public async Task MutableValues_EachCallerHasItsOwn()
    {
        await using ResilientCache cache = TestCache.New();
        List<int> first = await cache.GetAsync("key", _ => new ValueTask<List<int>>([1, 2]));
        first.Add(3);
        List<int> second = await cache.GetAsync<List<int>>("key", _ => throw new InvalidOperationException());
        Assert.Equal([1, 2], second);
        Assert.NotSame(second, await cache.GetAsync<List<int>>("key", _ => throw new InvalidOperationException()));
    }

    [Fact]
    public async Task ReuseInstances_AllCallersHaveTheOne()
    {
        await using ResilientCache cache = TestCache.New();
        var options = new CacheEntryOptions { ReuseInstances = true };
        List<int> first = await cache.GetAsync("key", _ => new ValueTask<List<int>>([1, 2]), options);
        Assert.Same(first, await cache.GetAsync<List<int>>("key", _ => throw new InvalidOperationException(), options));
    }

    [Fact]
    public async Task Oversized_ValueIsHandedOutAndNotKept()
    {
        await using ResilientCache cache = TestCache.New(configure: options => options.MaxPayload = 100);
        Assert.Equal(200, (await cache.GetAsync("key", new string('x', 200))).Length);
        Assert.False(cache.TryGet<string>("key").HasValue);
        Assert.Equal(1, cache.Snapshot().Oversized);
    }

    [Theory]
    [InlineData(HybridCacheEntryFlags.DisableLocalCacheRead, 2)]
    [InlineData(HybridCacheEntryFlags.DisableLocalCacheWrite, 2)]
    [InlineData(HybridCacheEntryFlags.DisableLocalCache, 2)]
    [InlineData(HybridCacheEntryFlags.DisableUnderlyingData, 0)]
    [InlineData(HybridCacheEntryFlags.None, 1)]
    public async Task Flags_AsThePlatformMeansThem(HybridCacheEntryFlags flags, int loads)
    {
        await using ResilientCache cache = TestCache.New();
        HybridCache platform = cache;
        var options = new HybridCacheEntryOptions { Flags = flags };
        int calls = 0;
        for (int i = 0; i < 2; i++)
        {
            await platform.GetOrCreateAsync("key", _ => new ValueTask<int>(++calls), options);
        }

        Assert.Equal(loads, calls);
    }

    [Fact]
    public async Task HybridCache_SpanAndInterpolatedKeys_FindTheSameEntry()
    {
        await using ResilientCache cache = TestCache.New();
        HybridCache platform = cache;
        int id = 42;
        await platform.GetOrCreateAsync("item-42", _ => new ValueTask<string>("value"));
        Assert.Equal("value", await platform.GetOrCreateAsync("item-42".AsSpan(), _ => new ValueTask<string>("?")));
        Assert.Equal("value", await platform.GetOrCreateAsync($"item-{id}", _ => new ValueTask<string>("?")));
        await Assert.ThrowsAsync<ArgumentException>(async () => await platform.GetOrCreateAsync("", _ => new ValueTask<string>("?")));
    }

    [Fact]
    public async Task Many_PartlyThere_OneFactoryCallForTheRest()
    {
        var tier = new FakeSharedTier();
        await using ResilientCache cache = TestCache.New(shared: tier);
        await using ResilientCache other = TestCache.New(shared: tier);
        await cache.SetAsync("local", "1");
        await other.SetAsync("shared", "2");
        var asked = new List<string>();
        IReadOnlyDictionary<string, string> found = await cache.GetOrCreateManyAsync<int, string>(["local", "shared", "source", "nowhere", "local"], 0, (keys, _, _) =>
        {
            asked.AddRange(keys);
            return new ValueTask<IReadOnlyDictionary<string, string>>(new Dictionary<string, string> { ["source"] = "3" });
        });
        Assert.Equal(["1", "2", "3"], new[] { "local", "shared", "source" }.Select(key => found[key]));
        Assert.False(found.ContainsKey("nowhere"));
        Assert.Equal(["source", "nowhere"], asked);
        Assert.True(cache.TryGet<string>("nowhere").IsKnownAbsent);
        Assert.Equal(1, tier.Calls.Count(call => call == "readmany"));
        TestCache.UntilNoFlights(cache);
        await cache.Writer.DrainAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(["1", "2", "3"], (await other.TryGetManyAsync<string>(["local", "shared", "source"])).OrderBy(pair => pair.Key).Select(pair => pair.Value));
    }

    [Fact]
    public async Task Many_FactoryFails_StaleOnesStandInAndOthersThrow()
    {
        await using ResilientCache cache = TestCache.New(_time);
        await cache.SetAsync("key", "old");
        _time.Advance(TimeSpan.FromSeconds(61));
        ValueTask<IReadOnlyDictionary<string, string>> Fail(IReadOnlyList<string> keys, int state, CancellationToken token) => throw new InvalidDataException();
        Assert.Equal("old", (await cache.GetOrCreateManyAsync<int, string>(["key"], 0, Fail))["key"]);
        await Assert.ThrowsAsync<InvalidDataException>(async () => await cache.GetOrCreateManyAsync<int, string>(["key", "new"], 0, Fail));
        Assert.Equal(0, cache.Snapshot().Flights);
    }

    [Theory]
    [InlineData(LocalEngine.Memory)]
    [InlineData(LocalEngine.S3Fifo)]
    public async Task Hit_AllocatesNothing(LocalEngine engine)
    {
        await using ResilientCache cache = TestCache.New(configure: options => options.Local.Engine = engine);
        HybridCache platform = cache;
        await cache.GetAsync("key-of-a-product", "value");
        AllocationAssert.AtMost(0, () => platform.GetOrCreateAsync("key-of-a-product", 0, static (_, _) => new ValueTask<string>("?")));
        AllocationAssert.AtMost(0, () => platform.GetOrCreateAsync("key-of-a-product".AsSpan(), 0, static (_, _) => new ValueTask<string>("?")));
    }

    [Theory]
    [InlineData(LocalEngine.Memory, 760)]
    [InlineData(LocalEngine.S3Fifo, 700)]
    public async Task Miss_SynchronousFactory_AllocatesLittle(LocalEngine engine, int bytes)
    {
        await using ResilientCache cache = TestCache.New(configure: options => options.Local.Engine = engine);
        HybridCache platform = cache;
        int next = 0;
        AllocationAssert.AtMost(bytes, () =>
        {
            string key = string.Create(12, next++, static (span, number) => number.TryFormat(span, out _, "D12"));
            return platform.GetOrCreateAsync(key, key, static (state, _) => new ValueTask<string>(state));
        });
    }
}
