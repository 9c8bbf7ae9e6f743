using Resilience.Caching.Tests.Shared;
using Resilience.TestKit;

namespace Resilience.Caching.Tests;

/// <summary>Keys and tags are judged the same way by every member.</summary>
public sealed class KeyAndTagTests
{
    // By number: text with half a pair does not survive the way of a theory's data.
    private static readonly string[] UncacheableKeys = [new string('k', 1025), "half\uD800", "\uDC00\uD800", "ok\uD83D\uDE00but\uD83D"];
    private static readonly string[] BadTags = ["", "*", "half\uD800", new string('t', 1025)];

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task UncacheableKey_EveryMember_LoadsAndKeepsNothing(int which)
    {
        string key = UncacheableKeys[which];
        var tier = new FakeSharedTier();
        await using ResilientCache cache = TestCache.New(shared: tier);
        int calls = 0;
        for (int i = 1; i <= 2; i++)
        {
            Assert.Equal(i, await cache.GetAsync(key, _ => new ValueTask<int>(++calls)));
        }

        await cache.SetAsync(key, "set");
        await cache.SetManyAsync(new Dictionary<string, string> { [key] = "set", ["fine"] = "set" });
        var asked = new List<string>();
        IReadOnlyDictionary<string, string> many = await cache.ManyAsync([key, "fine", "other"], keys =>
        {
            asked.AddRange(keys);
            return keys.Select(one => (one, "loaded"));
        });
        Assert.Equal(["other", key], asked);
        Assert.Equal(["loaded", "set", "loaded"], new[] { key, "fine", "other" }.Select(one => many[one]));
        Assert.False(cache.TryGet<string>(key).HasValue);
        Assert.False((await cache.TryGetAsync<string>(key)).HasValue);
        Assert.DoesNotContain(key, (await cache.TryGetManyAsync<string>([key, "fine"])).Keys);
        await cache.RemoveAsync(key);
        await cache.ExpireAsync(key);
        await cache.Writer.DrainAsync(TimeSpan.FromSeconds(30));
        Assert.DoesNotContain("v1:test:" + key, tier.Keys);
        Assert.Equal(0, cache.Snapshot().Flights);
    }

    [Fact]
    public async Task CacheableKey_UpToTheLimitAndWithPairs_IsKept()
    {
        await using ResilientCache cache = TestCache.New();
        foreach (string key in (string[])[new string('k', 1024), "smile \uD83D\uDE00", "\0"])
        {
            await cache.GetAsync(key, "value");
            Assert.Equal("value", await cache.GetCachedAsync(key));
        }
    }

    [Fact]
    public async Task EmptyKey_EveryMember_Throws()
    {
        await using ResilientCache cache = TestCache.New();
        await Assert.ThrowsAsync<ArgumentException>(async () => await cache.GetAsync("", "x"));
        await Assert.ThrowsAsync<ArgumentException>(async () => await cache.LoadAsync<string>("", _ => "x"));
        await Assert.ThrowsAsync<ArgumentException>(async () => await cache.GetOrCreateAsync(ReadOnlySpan<char>.Empty, 0, static (_, _) => new ValueTask<string>("x")));
        Assert.Throws<ArgumentException>(() => cache.TryGet<string>(""));
        await Assert.ThrowsAsync<ArgumentException>(async () => await cache.TryGetAsync<string>(""));
        await Assert.ThrowsAsync<ArgumentException>(async () => await cache.SetAsync("", "x"));
        await Assert.ThrowsAsync<ArgumentException>(async () => await cache.RemoveAsync(""));
        await Assert.ThrowsAsync<ArgumentException>(async () => await cache.ExpireAsync(""));
        await Assert.ThrowsAsync<ArgumentException>(async () => await cache.ManyAsync(["a", ""], _ => []));
        await Assert.ThrowsAsync<ArgumentException>(async () => await cache.TryGetManyAsync<string>(["a", ""]));
        await Assert.ThrowsAsync<ArgumentException>(async () => await cache.SetManyAsync(new Dictionary<string, string> { [""] = "x" }));
        await Assert.ThrowsAsync<ArgumentNullException>(async () => await cache.RemoveAsync((string)null!));
        Assert.Equal(0, cache.Snapshot().Flights);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task BadTag_EveryMember_ThrowsBeforeAnythingIsLoaded(int which)
    {
        string tag = BadTags[which];
        await using ResilientCache cache = TestCache.New();
        await Assert.ThrowsAsync<ArgumentException>(async () => await cache.GetAsync<string>("key", _ => throw new InvalidOperationException(), tags: [tag]));
        await Assert.ThrowsAsync<ArgumentException>(async () => await cache.SetAsync("key", "x", tags: [tag]));
        await Assert.ThrowsAsync<ArgumentException>(async () => await cache.ManyAsync(["key"], _ => throw new InvalidOperationException(), tags: [tag]));
        await Assert.ThrowsAsync<ArgumentException>(async () => await cache.LoadAsync<string>("key", load =>
        {
            load.Tags = [tag];
            return "x";
        }));
        if (tag != "*")
        {
            await Assert.ThrowsAsync<ArgumentException>(async () => await cache.RemoveByTagAsync(tag));
            await Assert.ThrowsAsync<ArgumentException>(async () => await cache.ExpireByTagAsync(tag));
        }

        Assert.Equal(0, cache.Snapshot().LocalCount);
    }

    [Fact]
    public async Task TooManyTags_ThrowsAndSaysHowMany()
    {
        await using ResilientCache cache = TestCache.New();
        string[] tags = [.. Enumerable.Range(0, 1025).Select(i => $"tag{i}")];
        ArgumentException failure = await Assert.ThrowsAsync<ArgumentException>(async () => await cache.SetAsync("key", "x", tags: tags));
        Assert.Contains("1025", failure.Message, StringComparison.Ordinal);
        await cache.SetAsync("key", "x", tags: tags[..1024]);
        Assert.True(cache.TryGet<string>("key").HasValue);
    }

    [Fact]
    public async Task TooLongKey_IsLoggedOnceAndNeverByName()
    {
        var logs = new LogCollector();
        await using ResilientCache cache = TestCache.New(parts: parts => parts with { Logger = logs.CreateLogger("cache") });
        for (int i = 0; i < 3; i++)
        {
            await cache.GetAsync(new string('k', 2000), "x");
        }

        Assert.Single(logs.Entries, entry => entry.Id.Id == 3004);
        Assert.DoesNotContain(logs.Entries, entry => entry.Message.Contains("kkk", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Oversized_IsCountedEachTimeAndLoggedOncePerType()
    {
        var logs = new LogCollector();
        await using ResilientCache cache = TestCache.New(configure: options => options.MaxPayload = 100, parts: parts => parts with { Logger = logs.CreateLogger("cache") });
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(101, (await cache.GetAsync("text", new string('x', 101))).Length);
            Assert.Equal(200, (await cache.GetAsync("bytes", _ => new ValueTask<byte[]>(new byte[200]))).Length);
        }

        Assert.Equal(6, cache.Snapshot().Oversized);
        Assert.Equal(2, logs.Entries.Count(entry => entry.Id.Id == 3003));
        Assert.Equal(0, cache.Snapshot().LocalCount);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Payload_AtTheLimit_IsMeasuredInUtf8WithAndWithoutASharedTier(bool isShared)
    {
        await using ResilientCache cache = TestCache.New(configure: options => options.MaxPayload = 100, shared: isShared ? new FakeSharedTier() : null);
        await cache.GetAsync("fits", new string('x', 100));
        Assert.True(cache.TryGet<string>("fits").HasValue);
        await cache.GetAsync("does not", new string('ü', 51));
        Assert.False(cache.TryGet<string>("does not").HasValue);
    }

    [Fact]
    public async Task Set_OversizedOverAValue_RemovesTheOldOne()
    {
        var tier = new FakeSharedTier();
        await using ResilientCache cache = TestCache.New(configure: options => options.MaxPayload = 100, shared: tier);
        await cache.SetAsync("key", "old");
        await cache.SetAsync("key", new string('x', 200));
        Assert.False(cache.TryGet<string>("key").HasValue);
        await using ResilientCache other = TestCache.New(shared: tier);
        Assert.Equal("new", await other.GetAsync("key", "new"));
    }
}
