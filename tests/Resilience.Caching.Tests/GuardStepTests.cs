using Resilience.Caching.Tests.Shared;

namespace Resilience.Caching.Tests;

/// <summary>Step 2 of a read: what the guard refuses is asked of nobody, and what was loaded is said to exist.</summary>
public sealed class GuardStepTests
{
    [Fact]
    public async Task Refused_EveryMember_AsksNoTierAndNoSource()
    {
        var tier = new FakeSharedTier();
        await using ResilientCache cache = TestCache.New(shared: tier, parts: parts => parts with { Guard = new StubGuard() });
        Assert.Null(await cache.GetAsync<string?>("refused", _ => throw new InvalidOperationException()));
        Assert.Equal(0, await cache.GetAsync<int>("refused", _ => throw new InvalidOperationException()));
        Assert.Empty(await cache.ManyAsync(["refused"], _ => throw new InvalidOperationException()));
        CacheResult<string> look = await cache.TryGetAsync<string>("refused");
        Assert.Equal((false, CacheOrigin.Guard, true), (look.HasValue, look.Origin, look.IsKnownAbsent));
        Assert.Empty(tier.Calls);
        Assert.Equal(4, cache.Snapshot().GuardRefusals);
        Assert.Equal(0, cache.Snapshot().LocalCount);
    }

    [Fact]
    public async Task Kept_ValuesAreSaidToExist_NullsAbsentsAndUncachedOnesAreNot()
    {
        var guard = new StubGuard();
        await using ResilientCache cache = TestCache.New(parts: parts => parts with { Guard = guard });
        await cache.GetAsync("loaded", "x");
        await cache.SetAsync("set", "x");
        await cache.ManyAsync(["batch", "left out"], _ => [("batch", "x")]);
        await cache.GetAsync<string?>("null", _ => new ValueTask<string?>((string?)null));
        await cache.LoadAsync<string?>("absent", load => load.Absent());
        await Assert.ThrowsAsync<InvalidDataException>(async () => await cache.GetAsync<string>("failed", _ => throw new InvalidDataException()));
        Assert.Equal(["loaded", "set", "batch"], guard.Existing);
    }

    [Fact]
    public async Task LocalCopy_OfAKeyThatTheGuardRefuses_IsStillServed()
    {
        var guard = new StubGuard();
        await using ResilientCache cache = TestCache.New(parts: parts => parts with { Guard = guard });
        await cache.SetAsync("refused", "written by this node");
        Assert.Equal("written by this node", await cache.GetCachedAsync("refused"));
    }

    private sealed class StubGuard : ICacheGuard
    {
        public List<string> Existing { get; } = [];

        public GuardVerdict Check(string key) => key == "refused" ? GuardVerdict.DefinitelyAbsent : GuardVerdict.MaybePresent;

        public void Exists(string key) => Existing.Add(key);
    }
}
