using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching.Tests.Shared;
using Resilience.TestKit;

namespace Resilience.Caching.Tests;

/// <summary>What a factory sees of its load and what it may say of its outcome.</summary>
public sealed class CacheLoadTests
{
    private static readonly TimeSpan PastExpiry = TimeSpan.FromSeconds(61);
    private readonly ManualTimeProvider _time = new();

    [Fact]
    public async Task Load_FirstTime_HasNoStaleValueAndMayNotSayNotModified()
    {
        await using ResilientCache cache = TestCache.New(_time);
        await cache.LoadAsync<string>("key", load =>
        {
            Assert.Equal("key", load.Key);
            Assert.False(load.HasStaleValue);
            Assert.Null(load.ETag);
            Assert.Null(load.LastModified);
            Assert.Throws<InvalidOperationException>(() => load.StaleValue);
            Assert.Throws<InvalidOperationException>(() => load.NotModified());
            return "value";
        });
    }

    [Fact]
    public async Task Validators_AreCarriedThroughTheSharedTierToAnotherNode()
    {
        var tier = new FakeSharedTier();
        var changed = new DateTimeOffset(2029, 5, 6, 7, 8, 9, TimeSpan.Zero);
        await using ResilientCache one = TestCache.New(_time, shared: tier);
        await one.LoadAsync<string>("key", load =>
        {
            (load.ETag, load.LastModified) = ("\"v1\"", changed);
            return "value";
        });
        await one.Writer.DrainAsync(TimeSpan.FromSeconds(30));
        _time.Advance(PastExpiry);
        await using ResilientCache two = TestCache.New(_time, shared: tier);
        Assert.Equal("value", await two.LoadAsync<string>("key", load =>
        {
            Assert.Equal(("\"v1\"", (DateTimeOffset?)changed, "value"), (load.ETag, load.LastModified, load.StaleValue));
            return load.NotModified();
        }));
        Assert.False(two.TryGet<string>("key").IsStale);
    }

    [Fact]
    public async Task StaleValue_OfAMutableType_IsTheFactorysOwn()
    {
        await using ResilientCache cache = TestCache.New(_time);
        await cache.LoadAsync<List<int>>("key", _ => [1]);
        _time.Advance(PastExpiry);
        List<int> renewed = await cache.LoadAsync<List<int>>("key", load =>
        {
            load.StaleValue.Add(2);
            Assert.Equal([1], load.StaleValue);
            return load.NotModified();
        });
        Assert.Equal([1], renewed);
    }

    [Fact]
    public async Task NotModified_TagsThatTheFactoryHadChosen_StillInvalidate()
    {
        await using ResilientCache cache = TestCache.New(_time);
        await cache.LoadAsync<string>("key", load =>
        {
            load.Tags = ["chosen"];
            return "value";
        });
        _time.Advance(PastExpiry);
        await cache.LoadAsync<string>("key", load => load.NotModified(), tags: ["declared"]);
        await cache.GetCachedAsync("key");
        await cache.RemoveByTagAsync("chosen");
        Assert.False(cache.TryGet<string>("key").HasValue);
    }

    [Fact]
    public async Task Options_DecidedAfterTheFact_HoldForTheEntry()
    {
        var tier = new FakeSharedTier();
        await using ResilientCache cache = TestCache.New(_time, shared: tier);
        await cache.LoadAsync<string>("short", load =>
        {
            load.Options = new CacheEntryOptions { Expiration = TimeSpan.FromSeconds(2) };
            return "value";
        }, new CacheEntryOptions { Expiration = TimeSpan.FromHours(1) });
        await cache.LoadAsync<string>("local", load =>
        {
            load.Options = new CacheEntryOptions { TierFlags = HybridCacheEntryFlags.DisableDistributedCacheWrite };
            return "value";
        });
        await cache.LoadAsync<string>("nowhere", load =>
        {
            load.Options = new CacheEntryOptions { TierFlags = HybridCacheEntryFlags.DisableDistributedCacheWrite | HybridCacheEntryFlags.DisableLocalCacheWrite };
            return "value";
        });
        await cache.Writer.DrainAsync(TimeSpan.FromSeconds(30));
        Assert.NotNull(tier["v1:test:short"]);
        Assert.Null(tier["v1:test:local"]);
        Assert.Null(tier["v1:test:nowhere"]);
        Assert.True(cache.TryGet<string>("local").HasValue);
        Assert.False(cache.TryGet<string>("nowhere").HasValue);
        _time.Advance(TimeSpan.FromSeconds(3));
        Assert.True(cache.TryGet<string>("short").IsStale);
    }

    [Fact]
    public async Task Options_OutOfRangeAfterTheFact_AreAFailureThatNamesThem()
    {
        await using ResilientCache cache = TestCache.New(_time);
        ArgumentOutOfRangeException failure = await Assert.ThrowsAsync<ArgumentOutOfRangeException>(async () => await cache.LoadAsync<string>("key", load =>
        {
            load.Options = new CacheEntryOptions { Jitter = 3 };
            return "value";
        }));
        Assert.Equal("Jitter", failure.ParamName);
        Assert.Equal(0, cache.Snapshot().Flights);
    }

    [Fact]
    public async Task Tags_DecidedAfterTheFact_ReplaceTheCalls()
    {
        await using ResilientCache cache = TestCache.New(_time);
        await cache.LoadAsync<string>("key", load =>
        {
            load.Tags = [];
            return "value";
        }, tags: ["declared"]);
        await cache.RemoveByTagAsync("declared");
        Assert.Equal("value", await cache.GetCachedAsync("key"));
    }

    [Fact]
    public async Task Absent_WithoutANegativeExpiration_ForgetsTheOldCopyOnAllNodes()
    {
        var tier = new FakeSharedTier();
        await using ResilientCache cache = TestCache.New(_time, options => options.NegativeExpiration = TimeSpan.Zero, tier);
        await cache.SetAsync("key", "old");
        _time.Advance(PastExpiry);
        Assert.Null(await cache.LoadAsync<string?>("key", load => load.Absent()));
        await cache.Writer.DrainAsync(TimeSpan.FromSeconds(30));
        await Assert.ThrowsAsync<InvalidDataException>(async () => await cache.LoadAsync<string>("key", _ => throw new InvalidDataException()));
        await using ResilientCache other = TestCache.New(_time, shared: tier);
        await Assert.ThrowsAsync<InvalidDataException>(async () => await other.LoadAsync<string>("key", _ => throw new InvalidDataException()));
    }

    [Fact]
    public async Task Absent_IsSharedWithOtherNodesAndHasNoStaleCopy()
    {
        var tier = new FakeSharedTier();
        await using ResilientCache one = TestCache.New(_time, shared: tier);
        await one.LoadAsync<string?>("key", load => load.Absent());
        await one.Writer.DrainAsync(TimeSpan.FromSeconds(30));
        await using ResilientCache two = TestCache.New(_time, shared: tier);
        Assert.Null(await two.GetCachedAsync("key"));
        Assert.True(two.TryGet<string>("key").IsKnownAbsent);
        _time.Advance(TimeSpan.FromSeconds(31));
        await Assert.ThrowsAsync<InvalidDataException>(async () => await two.LoadAsync<string>("key", _ => throw new InvalidDataException()));
    }

    [Fact]
    public async Task FreshScope_EachLoad_HasItsOwnAndItIsDisposedWhenTheValueIsKept()
    {
        await using ServiceProvider provider = new ServiceCollection().AddScoped<Scoped>().BuildServiceProvider();
        await using ResilientCache cache = TestCache.New(_time, parts: parts => parts with { Services = provider });
        var seen = new List<Scoped>();
        var options = new CacheEntryOptions { FreshScope = true };
        for (int i = 0; i < 2; i++)
        {
            await cache.GetOrCreateAsync<string>($"key{i}", async (load, _) =>
            {
                var scoped = load.Services!.GetRequiredService<Scoped>();
                Assert.Same(scoped, load.Services!.GetRequiredService<Scoped>());
                await Task.Yield();
                Assert.False(scoped.IsDisposed);
                seen.Add(scoped);
                return "value";
            }, options);
        }

        Assert.NotSame(seen[0], seen[1]);
        TestCache.Until(() => seen.TrueForAll(scoped => scoped.IsDisposed), "the scopes' end");
    }

    [Fact]
    public async Task FreshScope_WhoseDisposeFails_DoesNotBringTheStaleCopyBack()
    {
        await using ServiceProvider provider = new ServiceCollection().AddScoped<Scoped>().BuildServiceProvider();
        var logs = new LogCollector();
        await using ResilientCache cache = TestCache.New(_time, parts: parts => parts with { Services = provider, Logger = logs.CreateLogger("cache") });
        await cache.GetAsync("key", "old");
        _time.Advance(PastExpiry);
        Assert.Equal("new", await cache.LoadAsync<string>("key", load =>
        {
            load.Services!.GetRequiredService<Scoped>().Throws = true;
            return "new";
        }, new CacheEntryOptions { FreshScope = true }));
        Assert.Equal("new", await cache.GetCachedAsync("key"));
        Assert.Equal(0, cache.Snapshot().SourceFailures);
        Assert.Single(logs.WithId(3006));
    }

    [Fact]
    public async Task Services_WithoutFreshScope_AreTheApplications()
    {
        await using ServiceProvider provider = new ServiceCollection().BuildServiceProvider();
        await using ResilientCache cache = TestCache.New(_time, parts: parts => parts with { Services = provider });
        await cache.LoadAsync<string>("key", load =>
        {
            Assert.Same(provider, load.Services);
            return "value";
        });
    }

    private sealed class Scoped : IDisposable
    {
        public bool IsDisposed { get; private set; }

        public bool Throws { get; set; }

        public void Dispose()
        {
            IsDisposed = true;
            if (Throws)
            {
                throw new InvalidDataException("A scope that cannot end.");
            }
        }
    }
}
