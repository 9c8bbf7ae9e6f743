using Resilience.Caching.Local;
using Resilience.Caching.Telemetry;
using Resilience.Caching.Tests.Shared;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Telemetry;

/// <summary>Events and inspector: bounded whatever happens.</summary>
public sealed class InsightTests
{
    private readonly ManualTimeProvider _time = new();

    [Fact]
    public async Task Events_SayWhatHappenedToWhat()
    {
        var tier = new FakeSharedTier();
        await using ResilientCache cache = TestCache.New(_time, options => options.MaxPayload = 100, tier);
        await cache.GetAsync("key", "old", tags: ["tag"]);
        await cache.GetAsync("large", new string('x', 200));
        _time.Advance(TimeSpan.FromSeconds(61));
        await cache.GetAsync<string>("key", _ => throw new InvalidDataException("source"));
        await cache.ExpireAsync("key");
        await cache.RemoveAsync("key");
        await cache.RemoveByTagAsync("tag");
        await cache.ClearAsync();
        CacheEvent[] events = [.. cache.Events.Recent().Reverse()];
        Assert.Equal(
            [CacheEventKind.Oversized, CacheEventKind.LoadFailed, CacheEventKind.StaleServed, CacheEventKind.Expired, CacheEventKind.Removed, CacheEventKind.TagInvalidated, CacheEventKind.TagInvalidated],
            events.Select(one => one.Kind));
        Assert.Equal(["large", "key", "key", "key", "key", null, null], events.Select(one => one.Key));
        Assert.Equal(["tag", "*"], events[^2..].Select(one => one.Tag));
        Assert.IsType<InvalidDataException>(events[1].Failure);
        Assert.Equal(_time.GetUtcNow(), events[1].At);
        Assert.Equal(cache.Events.Recent()[0], Assert.Single(cache.Events.Recent(1)));
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.Events.Recent(0));
    }

    [Fact]
    public async Task Events_SharedTierGoesAndComes_IsSaid()
    {
        var tier = new FakeSharedTier { Fails = true };
        await using ResilientCache cache = TestCache.New(_time, shared: tier);
        for (int i = 0; i < 8; i++)
        {
            await cache.GetAsync($"key{i}", "x");
        }

        tier.Fails = false;
        _time.Advance(TimeSpan.FromSeconds(3));
        await cache.GetAsync("probe", "x");
        Assert.Equal([CacheEventKind.SharedTierLost, CacheEventKind.SharedTierBack, CacheEventKind.Distrusted], cache.Events.Recent().Reverse().Select(one => one.Kind));
        Assert.IsType<IOException>(cache.Events.Recent()[^1].Failure);
    }

    [Fact]
    public async Task Events_AFlood_IsSampledAndBounded()
    {
        await using ResilientCache cache = TestCache.New(_time);
        for (int i = 0; i < 10_000; i++)
        {
            await cache.RemoveAsync("key");
        }

        Assert.Equal(CacheEvents.PerSecond, cache.Events.Recent().Count);
        for (int second = 0; second < 100; second++)
        {
            _time.Advance(TimeSpan.FromMilliseconds(1024));
            for (int i = 0; i < 100; i++)
            {
                await cache.RemoveAsync("key");
            }
        }

        Assert.Equal(CacheEvents.Kept, cache.Events.Recent().Count);
        AllocationAssert.AtMost(0, () => cache.Events.Raise(CacheEventKind.Removed, "key"));
    }

    [Fact]
    public async Task Events_Listener_GetsThoseToComeAndEndsWithItsToken()
    {
        await using ResilientCache cache = TestCache.New(_time);
        await cache.RemoveAsync("before");
        using var source = new CancellationTokenSource();
        var heard = new List<string?>();
        var first = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        IAsyncEnumerator<CacheEvent> listening = cache.Events.ListenAsync(source.Token).GetAsyncEnumerator(CancellationToken.None);
        Task<bool> next = listening.MoveNextAsync().AsTask();
        await cache.RemoveAsync("after");
        Assert.True(await next.Soon());
        Assert.Equal("after", listening.Current.Key);
        next = listening.MoveNextAsync().AsTask();
        await source.CancelAsync();
        Assert.False(await next.Soon());
        await listening.DisposeAsync();
    }

    [Fact]
    public void HotKeys_SkewedReads_FindTheHottestInABoundedTable()
    {
        var hot = new HotKeys();
        var random = new Random(5);
        for (int i = 0; i < 40_000; i++)
        {
            int draw = random.Next(100);
            hot.Note(draw < 20 ? "hottest" : draw < 30 ? "hot" : $"key{random.Next(100_000)}");
        }

        IReadOnlyList<HotKey> read = hot.Read(128);
        Assert.Equal(["hottest", "hot"], read.Take(2).Select(key => key.Key));
        Assert.InRange(read[0].Share, 0.15, 0.25);
        Assert.InRange(read.Count, 2, 128);
        AllocationAssert.AtMost(1, () => hot.Note("hottest"));
    }

    [Fact]
    public void HotKeys_WhatWasHotYesterday_Goes()
    {
        var hot = new HotKeys();
        for (int i = 0; i < 20_000; i++)
        {
            hot.Note("yesterday");
        }

        for (int i = 0; i < 60_000; i++)
        {
            hot.Note("today");
        }

        Assert.Equal("today", hot.Read(1)[0].Key);
        Assert.DoesNotContain("yesterday", hot.Read(128).Where(key => key.Share > 0.01).Select(key => key.Key));
    }

    [Fact]
    public async Task HotKeys_OfRealHits_AreSampled()
    {
        await using ResilientCache cache = TestCache.New();
        await cache.GetAsync("hot", "x");
        for (int i = 0; i < 20_000; i++)
        {
            await cache.GetAsync("hot", "x");
        }

        Assert.Equal("hot", Assert.Single(cache.Inspector.HotKeys()).Key);
    }

    [Theory]
    [InlineData(LocalEngine.Memory)]
    [InlineData(LocalEngine.S3Fifo)]
    public async Task Inspector_ByPrefixTagAndSize(LocalEngine engine)
    {
        await using ResilientCache cache = TestCache.New(_time, options => options.Local.Engine = engine);
        for (int i = 0; i < 30; i++)
        {
            await cache.SetAsync($"product:{i}", new string('x', 10 * i), tags: i % 2 == 0 ? ["even"] : null);
            await cache.SetAsync($"user:{i}", "x");
        }

        await cache.LoadAsync<string>("product:none", load => load.Absent());
        _time.Advance(TimeSpan.FromSeconds(10));
        ICacheInspector inspector = cache.Inspector;
        Assert.Equal("test", inspector.Name);
        CacheEntryPage products = inspector.Entries(prefix: "product:");
        Assert.True(products is { Entries.Count: 31, Scanned: 61, IsComplete: true });
        Assert.All(products.Entries, entry => Assert.Equal(TimeSpan.FromSeconds(10), entry.Age));
        Assert.Equal(TimeSpan.FromSeconds(20), Assert.Single(products.Entries, entry => entry.IsAbsent).FreshFor);
        Assert.True(inspector.Find("product:2") is { Key: "product:2", IsAbsent: false, Tags: ["even"] });
        Assert.Null(inspector.Find("product:99"));
        Assert.Equal(15, inspector.Entries(tag: "even").Entries.Count);
        Assert.All(inspector.Entries(tag: "even").Entries, entry => Assert.Equal(["even"], entry.Tags));
        Assert.True(inspector.Entries(most: 5) is { Entries.Count: 5, IsComplete: false });
        Assert.Equal(["product:29", "product:28"], inspector.Largest(2).Entries.Select(entry => entry.Key));
        await cache.RemoveByTagAsync("even");
        Assert.Empty(inspector.Entries(tag: "even").Entries);
        Assert.Null(inspector.Find("product:2"));
        Assert.Throws<ArgumentOutOfRangeException>(() => inspector.Entries(most: 1001));
        Assert.Throws<ArgumentOutOfRangeException>(() => inspector.HotKeys(0));
    }

    [Fact]
    public async Task Inspector_LargeCache_LooksAtABoundedPart()
    {
        await using ResilientCache cache = TestCache.New(_time, options => options.Local.Engine = LocalEngine.S3Fifo);
        for (int i = 0; i < ICacheInspector.MaxScanned + 500; i++)
        {
            await cache.SetAsync($"key{i}", 1);
        }

        Assert.True(cache.Inspector.Entries(prefix: "none") is { Scanned: ICacheInspector.MaxScanned, IsComplete: false });
        Assert.True(cache.Inspector.Largest() is { Scanned: ICacheInspector.MaxScanned, IsComplete: false });
    }
}
