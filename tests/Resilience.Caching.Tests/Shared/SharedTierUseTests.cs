using Resilience.Caching.Shared;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Shared;

/// <summary>What the cache does with a shared tier that is slow, out, back, or not there from the start.</summary>
public sealed class SharedTierUseTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly FakeSharedTier _tier = new();

    private static TaskCompletionSource Gate() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private ResilientCache New(Action<CacheOptions>? configure = null) => TestCache.New(_time, configure, _tier);

    /// <summary>Lets the breaker open.</summary>
    private async Task BreakAsync(ResilientCache cache)
    {
        _tier.Fails = true;
        for (int i = 0; i < 8; i++)
        {
            await cache.GetAsync($"break{i}", "x");
        }

        Assert.Equal(SharedTierState.Open, cache.Snapshot().SharedState);
    }

    [Fact]
    public async Task TierOut_SuspectCopiesAndNewOnes_DoNotAllExpireInOneMoment()
    {
        var random = new Random(5);
        await using ResilientCache cache = TestCache.New(
            _time,
            options => (options.Jitter, options.Shared.BlindFor, options.Expiration) = (0.2, TimeSpan.FromSeconds(30), TimeSpan.FromHours(1)),
            _tier,
            parts: parts => parts with { Random = random.NextDouble });
        string[] keys = [.. Enumerable.Range(0, 100).Select(i => $"key{i}")];
        foreach (string key in keys)
        {
            await cache.SetAsync(key, "value");
        }

        _tier.Fails = true;
        cache.Core.Distrust();
        cache.Core.IsBlind = true;
        foreach (string key in keys)
        {
            await cache.GetCachedAsync(key);
            await cache.GetAsync($"new {key}", "value");
        }

        foreach (string prefix in (string[])["", "new "])
        {
            double[] left = [.. keys.Select(key => (cache.Core.Local.Find(prefix + key)!.ExpiresAt - cache.Core.Clock.Milliseconds) / 1000.0).Order()];
            Assert.InRange(left[0], 24, 25);
            Assert.InRange(left[^1], 29, 30);
        }
    }

    [Fact]
    public async Task Breaker_Open_AReadAsksNothingAndWaitsForNothing()
    {
        await using ResilientCache cache = New();
        await BreakAsync(cache);
        int calls = _tier.Calls.Count;
        int timers = _time.ArmedTimers;
        ValueTask<string> read = cache.GetAsync("key", "source");
        Assert.True(read.IsCompletedSuccessfully);
        Assert.Equal("source", await read);
        Assert.Equal(calls, _tier.Calls.Count);
        Assert.Equal(timers, _time.ArmedTimers);
    }

    [Fact]
    public async Task Breaker_MissesAndCancelledCallers_AreNoFailures()
    {
        await using ResilientCache cache = New();
        for (int i = 0; i < 50; i++)
        {
            Assert.False((await cache.TryGetAsync<string>($"miss{i}")).HasValue);
        }

        TaskCompletionSource gate = Gate();
        _tier.Before = _ => gate.Task;
        for (int i = 0; i < 50; i++)
        {
            using var source = new CancellationTokenSource();
            Task<string> read = cache.GetAsync($"cancelled{i}", _ => new ValueTask<string>("x"), cancellationToken: source.Token).AsTask();
            await source.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read.Soon());
        }

        gate.SetResult();
        Assert.Equal(SharedTierState.Closed, cache.Snapshot().SharedState);
        Assert.Equal(0, cache.Snapshot().SharedFailures);
    }

    [Fact]
    public async Task Breaker_ProbeSucceeds_ClosesAndDistrustsWhatWasHeldMeanwhile()
    {
        await using ResilientCache cache = New();
        await cache.SetAsync("kept", "value");
        await BreakAsync(cache);
        _tier.Fails = false;
        _time.Advance(TimeSpan.FromSeconds(3));
        await cache.GetAsync("probe", "x");
        Assert.Equal(SharedTierState.Closed, cache.Snapshot().SharedState);
        long reads = _tier.Reads;
        Assert.Equal("value", await cache.GetCachedAsync("kept"));
        Assert.Equal(reads + 1, _tier.Reads);
        Assert.Equal(1, cache.Snapshot().Revalidated);
    }

    [Fact]
    public async Task Start_TierIsDown_WorksAndUsesItOnceItIsThere()
    {
        _tier.Fails = true;
        await using ResilientCache cache = New();
        Assert.Equal("source", await cache.GetAsync("key", "source"));
        Assert.Equal("source", await cache.GetCachedAsync("key"));
        await cache.RemoveAsync("key");
        Assert.False(cache.TryGet<string>("key").HasValue);
        _tier.Fails = false;
        await _time.AdvanceUntilAsync(TimeSpan.FromSeconds(1), () => cache.Snapshot() is { ReplaysPending: 0 }, "the replay");
        await cache.GetAsync("later", "value");
        await cache.Writer.DrainAsync(TimeSpan.FromSeconds(30));
        Assert.NotNull(_tier["v1:test:later"]);
    }

    [Fact]
    public async Task Batch_FramesWithDifferentTags_ReadsAllVersionsAtOnce()
    {
        await using ResilientCache one = New();
        string[] keys = [.. Enumerable.Range(0, 20).Select(i => $"key{i}")];
        foreach (string key in keys)
        {
            await one.SetAsync(key, key, tags: [$"tag of {key}"]);
        }

        await using ResilientCache two = New();
        int before = _tier.Calls.Count;
        Assert.Equal(20, (await two.TryGetManyAsync<string>(keys)).Count);
        Assert.Equal(["versions", "readmany", "versions"], _tier.Calls.Skip(before));
    }

    [Fact]
    public async Task Look_JoinedByAReaderThatMayNotLoad_AnswersThatThereIsNothing()
    {
        await using ResilientCache cache = New();
        await cache.GetAsync("warm", "x");
        TaskCompletionSource gate = Gate();
        _tier.Before = call => call == "readmany" ? gate.Task : Task.CompletedTask;
        Task<IReadOnlyDictionary<string, string>> look = cache.TryGetManyAsync<string>(["key"]).AsTask();
        var noLoad = new CacheEntryOptions { TierFlags = Microsoft.Extensions.Caching.Hybrid.HybridCacheEntryFlags.DisableUnderlyingData };
        Task<string> reader = cache.GetAsync<string>("key", _ => throw new InvalidOperationException(), noLoad).AsTask();
        gate.SetResult();
        Assert.Empty(await look.Soon());
        Assert.Null(await reader.Soon());
        Assert.Equal(0, cache.Snapshot().Flights);
    }

    [Fact]
    public async Task TryGet_SaysTierFreshnessAndAge()
    {
        await using ResilientCache one = New();
        await using ResilientCache two = New();
        Assert.Equal(default, one.TryGet<string>("key"));
        Assert.Equal(CacheOrigin.None, (await one.TryGetAsync<string>("key")).Origin);
        await one.SetAsync("key", "value");
        _time.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal(new CacheResult<string>(true, "value", CacheOrigin.Local, false, false, TimeSpan.FromSeconds(10)), one.TryGet<string>("key"));
        Assert.Equal(new CacheResult<string>(true, "value", CacheOrigin.Shared, false, false, TimeSpan.FromSeconds(10)), await two.TryGetAsync<string>("key"));
        Assert.Equal(CacheOrigin.Local, (await two.TryGetAsync<string>("key")).Origin);
        _time.Advance(TimeSpan.FromSeconds(60));
        Assert.Equal(new CacheResult<string>(true, "value", CacheOrigin.Local, true, false, TimeSpan.FromSeconds(70)), one.TryGet<string>("key"));
        await using ResilientCache three = New();
        Assert.Equal(new CacheResult<string>(true, "value", CacheOrigin.Shared, true, false, TimeSpan.FromSeconds(70)), await three.TryGetAsync<string>("key"));
        Assert.Equal(0, three.Snapshot().SourceLoads);
    }

    [Fact]
    public async Task Frame_OfAClockThatIsAheadOrBehind_NeverLivesLongerThanItWasGiven()
    {
        await using ResilientCache writer = New();
        await writer.SetAsync("key", "value");
        foreach (int hours in (int[])[-3, 3])
        {
            var time = new ManualTimeProvider(_time.GetUtcNow().AddHours(hours));
            await using ResilientCache reader = TestCache.New(time, shared: _tier);
            Assert.Equal(hours < 0 ? "value" : "source", await reader.GetAsync("key", "source"));
            time.Advance(TimeSpan.FromSeconds(60));
            Assert.True(reader.TryGet<string>("key").IsStale);
        }
    }

    [Fact]
    public async Task EagerRefresh_AnotherNodeHasRefreshedAlready_TakesItsValueAndAsksNoSource()
    {
        await using ResilientCache one = New();
        await using ResilientCache two = New();
        var options = new CacheEntryOptions { EagerRefresh = 0.5 };
        await one.GetAsync("key", "old", options);
        await one.Writer.DrainAsync(TimeSpan.FromSeconds(30));
        Assert.Equal("old", await two.GetAsync("key", "?", options));
        _time.Advance(TimeSpan.FromSeconds(40));
        await one.GetAsync("key", "new", options);
        TestCache.Until(() => one.TryGet<string>("key").Value == "new" && one.Snapshot().Flights == 0, "the refresh");
        await one.Writer.DrainAsync(TimeSpan.FromSeconds(30));
        Assert.Equal("old", await two.GetAsync<string>("key", _ => throw new InvalidOperationException("asked"), options));
        TestCache.Until(() => two.TryGet<string>("key").Value == "new", "the other node's value");
        Assert.Equal(0, two.Snapshot().SourceLoads);
    }

    [Fact]
    public async Task StaleCopies_LiveInTheSharedTierForStaleForPastTheirExpiry()
    {
        TimeSpan kept = default;
        var tier = new RecordingTier(write => kept = write.TimeToLive);
        await using ResilientCache cache = TestCache.New(_time, options => options.StaleFor = TimeSpan.FromMinutes(7), parts: parts => parts with { Shared = tier });
        await cache.SetAsync("key", "value");
        Assert.Equal(TimeSpan.FromMinutes(8), kept);
    }

    private sealed class RecordingTier(Action<SharedWrite> written) : SharedTierStub
    {
        public override Task<bool> WriteAsync(SharedWrite write, CancellationToken cancellationToken)
        {
            written(write);
            return Task.FromResult(true);
        }
    }
}
