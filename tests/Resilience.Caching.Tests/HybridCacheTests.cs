using Microsoft.Extensions.Caching.Hybrid;
using Resilience.Caching.Tests.Shared;

namespace Resilience.Caching.Tests;

/// <summary>The whole surface of the platform's abstraction, as code written for it uses it.</summary>
public sealed class HybridCacheTests
{
    [Fact]
    public async Task GetOrCreate_EveryOverload_RunsItsFactoryOnceAndFindsTheEntry()
    {
        await using ResilientCache cache = TestCache.New();
        HybridCache platform = cache;
        int calls = 0;
        int id = 1;
        ValueTask<int> Load(CancellationToken token) => new(++calls);
        ValueTask<int> LoadWith(int state, CancellationToken token) => new(++calls + state);
        for (int round = 0; round < 2; round++)
        {
            Assert.Equal(1, await platform.GetOrCreateAsync("k1", Load));
            Assert.Equal(1, await platform.GetOrCreateAsync("k1".AsSpan(), Load));
            Assert.Equal(1, await platform.GetOrCreateAsync($"k{id}", Load));
            Assert.Equal(102, await platform.GetOrCreateAsync("k2", 100, LoadWith));
            Assert.Equal(102, await platform.GetOrCreateAsync("k2".AsSpan(), 100, LoadWith));
            Assert.Equal(102, await platform.GetOrCreateAsync($"k{id + 1}", 100, LoadWith));
        }

        Assert.Equal(2, calls);
    }

    [Fact]
    public async Task GetOrCreate_SpanAndInterpolatedKeysOnAMiss_LoadUnderTheRightKey()
    {
        await using ResilientCache cache = TestCache.New();
        HybridCache platform = cache;
        int id = 7;
        Assert.Equal("span", await platform.GetOrCreateAsync("xspanx".AsSpan(1, 4), _ => new ValueTask<string>("span")));
        Assert.Equal("inter", await platform.GetOrCreateAsync($"inter-{id}", _ => new ValueTask<string>("inter")));
        Assert.Equal("span", cache.TryGet<string>("span").Value);
        Assert.Equal("inter", cache.TryGet<string>("inter-7").Value);
    }

    /// <summary>For each flag: does a value in the local tier, one in the shared tier, the source answer; is what the source gave kept where.</summary>
    [Theory]
    [InlineData(HybridCacheEntryFlags.None, "local", "shared", true, true)]
    [InlineData(HybridCacheEntryFlags.DisableLocalCacheRead, "shared", "shared", true, true)]
    [InlineData(HybridCacheEntryFlags.DisableLocalCacheWrite, "local", "shared", false, true)]
    [InlineData(HybridCacheEntryFlags.DisableLocalCache, "shared", "shared", false, true)]
    [InlineData(HybridCacheEntryFlags.DisableDistributedCacheRead, "local", "source", true, true)]
    [InlineData(HybridCacheEntryFlags.DisableDistributedCacheWrite, "local", "shared", true, false)]
    [InlineData(HybridCacheEntryFlags.DisableDistributedCache, "local", "source", true, false)]
    [InlineData(HybridCacheEntryFlags.DisableLocalCacheRead | HybridCacheEntryFlags.DisableDistributedCacheRead, "source", "source", true, true)]
    [InlineData(HybridCacheEntryFlags.DisableUnderlyingData, "local", "shared", false, false)]
    [InlineData(HybridCacheEntryFlags.DisableCompression, "local", "shared", true, true)]
    public async Task Flags_EachTier_TakesPartAsTheFlagSays(HybridCacheEntryFlags flags, string whenLocal, string whenShared, bool keepsLocal, bool keepsShared)
    {
        var tier = new FakeSharedTier();
        await using ResilientCache cache = TestCache.New(shared: tier);
        await using ResilientCache other = TestCache.New(shared: tier);
        HybridCache platform = cache;
        var options = new HybridCacheEntryOptions { Flags = flags };
        ValueTask<string> Read(string key) => platform.GetOrCreateAsync(key, _ => new ValueTask<string>("source"), options);

        await other.SetAsync("both", "shared");
        await cache.SetAsync("both", "local", new HybridCacheEntryOptions { Flags = HybridCacheEntryFlags.DisableDistributedCache });
        Assert.Equal(whenLocal, await Read("both"));

        await other.SetAsync("shared", "shared");
        Assert.Equal(whenShared, await Read("shared"));

        string? loaded = await Read("nowhere");
        await cache.Writer.DrainAsync(TimeSpan.FromSeconds(30));
        Assert.Equal((flags & HybridCacheEntryFlags.DisableUnderlyingData) != HybridCacheEntryFlags.None ? null : "source", loaded);
        Assert.Equal(keepsLocal, cache.TryGet<string>("nowhere").HasValue);
        Assert.Equal(keepsShared, tier["v1:test:nowhere"] is not null);
    }

    [Fact]
    public async Task Flags_DisableCompression_LeavesTheFrameAsItIs()
    {
        var tier = new FakeSharedTier();
        await using ResilientCache cache = TestCache.New(shared: tier);
        HybridCache platform = cache;
        string text = new('x', 20_000);
        await platform.SetAsync("plain", text, new HybridCacheEntryOptions { Flags = HybridCacheEntryFlags.DisableCompression });
        await platform.SetAsync("packed", text);
        Assert.True(tier["v1:test:plain"]!.Length > 20_000);
        Assert.True(tier["v1:test:packed"]!.Length < 1_000);
        await using ResilientCache other = TestCache.New(shared: tier);
        Assert.Equal(text, await other.GetCachedAsync("packed"));
    }

    [Fact]
    public async Task Options_LocalCacheExpiration_BoundsTheLocalCopyAlone()
    {
        var time = new TestKit.ManualTimeProvider();
        var tier = new FakeSharedTier();
        await using ResilientCache cache = TestCache.New(time, shared: tier);
        HybridCache platform = cache;
        await platform.SetAsync("key", "value", new HybridCacheEntryOptions { Expiration = TimeSpan.FromMinutes(10), LocalCacheExpiration = TimeSpan.FromSeconds(5) });
        time.Advance(TimeSpan.FromSeconds(6));
        Assert.True(cache.TryGet<string>("key").IsStale);
        Assert.Equal("value", await cache.GetCachedAsync("key"));
        Assert.Equal(1, cache.Snapshot().Revalidated);
    }

    [Fact]
    public async Task RemoveMany_KeysAndTags_AllAreGone()
    {
        await using ResilientCache cache = TestCache.New();
        HybridCache platform = cache;
        foreach (string key in (string[])["a", "b", "c", "d"])
        {
            await platform.SetAsync(key, key, tags: [$"tag-{key}", "all"]);
        }

        await platform.RemoveAsync(["a", "b"]);
        await platform.RemoveByTagAsync(["tag-c"]);
        Assert.Equal([false, false, false, true], new[] { "a", "b", "c", "d" }.Select(key => cache.TryGet<string>(key).HasValue));
    }

    [Fact]
    public async Task RemoveByTag_Wildcard_IsEverything()
    {
        await using ResilientCache cache = TestCache.New();
        HybridCache platform = cache;
        await platform.SetAsync("untagged", "1");
        await platform.SetAsync("tagged", "2", tags: ["tag"]);
        await platform.RemoveByTagAsync("*");
        Assert.False(cache.TryGet<string>("untagged").HasValue);
        Assert.False(cache.TryGet<string>("tagged").HasValue);
    }

    [Fact]
    public async Task Set_DuringALoad_IsNotOverwrittenByIt()
    {
        await using ResilientCache cache = TestCache.New();
        HybridCache platform = cache;
        var gate = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<string> load = platform.GetOrCreateAsync("key", _ => new ValueTask<string>(gate.Task)).AsTask();
        await platform.SetAsync("key", "set");
        gate.SetResult("loaded");
        Assert.Equal("loaded", await load.Soon());
        Assert.Equal("set", await cache.GetCachedAsync("key"));
    }

    [Fact]
    public async Task Get_CancelledTokenOnAMiss_IsCancelledAndLoadsNothing()
    {
        await using ResilientCache cache = TestCache.New();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await cache.GetAsync<string>("key", _ => throw new InvalidOperationException(), cancellationToken: new CancellationToken(true)));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await cache.SetAsync("key", "value", cancellationToken: new CancellationToken(true)));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await cache.RemoveAsync("key", new CancellationToken(true)));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await cache.RemoveByTagAsync("tag", new CancellationToken(true)));
        Assert.Equal(0, cache.Snapshot().SourceLoads);
    }

    [Fact]
    public async Task Get_AnotherTypeUnderTheSameKey_IsAMissNotACast()
    {
        await using ResilientCache cache = TestCache.New();
        await cache.SetAsync("key", "text");
        Assert.Equal(5, await cache.GetAsync("key", _ => new ValueTask<int>(5)));
    }
}
