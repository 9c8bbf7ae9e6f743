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
    public async Task Read_TierHangs_GoesOnAtTheHardTimeoutHoweverManyCallsItTook()
    {
        await using ResilientCache cache = New();
        _tier.Before = _ => Gate().Task;
        Task<string> read = cache.GetAsync("key", "source").AsTask();
        await _time.WaitForTimersAsync(2); // the sweep's and the call's
        _time.Advance(TimeSpan.FromMilliseconds(499));
        Assert.False(read.IsCompleted);
        _time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal("source", await read.Soon());
    }

    [Fact]
    public async Task Read_VersionsAreSlowAndThenTheValueHangs_TogetherLastOneHardTimeout()
    {
        await using ResilientCache cache = New();
        TaskCompletionSource versions = Gate();
        _tier.Before = call => call == "versions" ? versions.Task : Gate().Task;
        Task<string> read = cache.GetAsync("key", "source").AsTask();
        await _time.WaitForTimersAsync(2);
        _time.Advance(TimeSpan.FromMilliseconds(400));
        versions.SetResult();
        TestCache.Until(() => _tier.Reads == 1, "the read");
        await _time.WaitForTimersAsync(2);
        _time.Advance(TimeSpan.FromMilliseconds(100));
        Assert.Equal("source", await read.Soon());
    }

    [Fact]
    public async Task Read_StaleCopyAtHand_WaitsTheSoftTimeoutAlone()
    {
        await using ResilientCache cache = New();
        await cache.SetAsync("key", "old");
        _time.Advance(TimeSpan.FromSeconds(61));
        _tier.Before = _ => Gate().Task;
        Task<string> read = cache.GetAsync<string>("key", _ => throw new InvalidDataException()).AsTask();
        await _time.WaitForTimersAsync(2);
        _time.Advance(TimeSpan.FromMilliseconds(100));
        Assert.Equal("old", await read.Soon());
    }

    [Fact]
    public async Task Set_TierHangs_ReturnsAtTheHardTimeoutAndHoldsOnThisNode()
    {
        await using ResilientCache cache = New();
        _tier.Before = _ => Gate().Task;
        Task set = cache.SetAsync("key", "value").AsTask();
        await _time.WaitForTimersAsync(2);
        _time.Advance(TimeSpan.FromMilliseconds(500));
        await set.Soon();
        Assert.Equal("value", await cache.GetCachedAsync("key"));
        Assert.Equal(1, cache.Snapshot().ReplaysPending);
    }

    [Fact]
    public async Task Dispose_WhileAReplayHangs_DoesNotWaitForIt()
    {
        ResilientCache cache = New();
        int calls = 0;
        _tier.Before = _ =>
        {
            Interlocked.Increment(ref calls);
            return Gate().Task;
        };
        Task set = cache.SetAsync("key", "value").AsTask();
        await _time.WaitForTimersAsync(2);
        int before = Volatile.Read(ref calls);
        _time.Advance(TimeSpan.FromMilliseconds(500));
        await set.Soon();
        TestCache.Until(() => Volatile.Read(ref calls) > before, "the replay's call");
        await cache.DisposeAsync().AsTask().Soon();
    }

    [Fact]
    public async Task Call_GivenUp_IsCancelledForTiersThatListen()
    {
        var tier = new ListeningTier();
        await using ResilientCache cache = TestCache.New(_time, parts: parts => parts with { Shared = tier });
        Task<string> read = cache.GetAsync("key", "source").AsTask();
        await _time.WaitForTimersAsync(2);
        _time.Advance(TimeSpan.FromMilliseconds(500));
        Assert.Equal("source", await read.Soon());
        await tier.Cancelled.Task.Soon();
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
    public async Task Write_InTheBackground_IsAwaitedAtTheEnd()
    {
        ResilientCache cache = New();
        TaskCompletionSource gate = Gate();
        _tier.Before = call => call == "write" ? gate.Task : Task.CompletedTask;
        await cache.GetAsync("key", "value");
        Task end = cache.DisposeAsync().AsTask();
        Assert.False(end.IsCompleted);
        gate.SetResult();
        await end.Soon();
        Assert.NotNull(_tier["v1:test:key"]);
    }

    [Fact]
    public async Task Write_InTheBackgroundOfATierThatHangs_HoldsUpTheEndForTheHardTimeoutAtMost()
    {
        ResilientCache cache = New();
        _tier.Before = call => call == "write" ? Gate().Task : Task.CompletedTask;
        await cache.GetAsync("key", "value");
        Task end = cache.DisposeAsync().AsTask();
        await _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(100), () => end.IsCompleted, "the end");
        await end;
    }

    [Fact]
    public async Task Write_MoreInTheBackgroundThanAllowed_AreDroppedAndCounted()
    {
        await using ResilientCache cache = New(options => options.Shared.MaxPendingWrites = 2);
        TaskCompletionSource gate = Gate();
        _tier.Before = call => call == "write" ? gate.Task : Task.CompletedTask;
        for (int i = 0; i < 5; i++)
        {
            await cache.GetAsync($"key{i}", "value");
        }

        Assert.Equal(3, cache.Snapshot().WritesDropped);
        gate.SetResult();
        await cache.Writer.DrainAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(2, _tier.Keys.Count);
    }

    [Fact]
    public async Task AwaitWrites_Set_ALoadAnswersWhenItsValueIsThere()
    {
        await using ResilientCache cache = New(options => options.Shared.AwaitWrites = true);
        TaskCompletionSource gate = Gate();
        _tier.Before = call => call == "write" ? gate.Task : Task.CompletedTask;
        Task<string> read = cache.GetAsync("key", "value").AsTask();
        TestCache.Until(() => _tier.Calls.Contains("write"), "the write");
        Assert.False(read.IsCompleted);
        gate.SetResult();
        Assert.Equal("value", await read.Soon());
        Assert.NotNull(_tier["v1:test:key"]);
    }

    [Fact]
    public async Task AwaitWrites_Batch_WritesAllAtOnce()
    {
        await using ResilientCache cache = New(options => options.Shared.AwaitWrites = true);
        TaskCompletionSource gate = Gate();
        _tier.Before = call => call == "write" ? gate.Task : Task.CompletedTask;
        string[] keys = [.. Enumerable.Range(0, 20).Select(i => $"key{i}")];
        Task<IReadOnlyDictionary<string, string>> read = cache.ManyAsync(keys, asked => asked.Select(key => (key, key))).AsTask();
        TestCache.Until(() => _tier.Calls.Count(call => call == "write") == 20, "20 writes side by side");
        gate.SetResult();
        Assert.Equal(20, (await read.Soon()).Count);
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

    /// <summary>Hangs until it is told to stop.</summary>
    private sealed class ListeningTier : SharedTierStub
    {
        public TaskCompletionSource Cancelled { get; } = Gate();

        public override async Task<TagVersion[]> ReadVersionsAsync(IReadOnlyList<string> names, IReadOnlyList<TagVersion> floors, CancellationToken cancellationToken)
        {
            await using CancellationTokenRegistration registration = cancellationToken.Register(Cancelled.SetResult);
            await Task.Delay(Timeout.Infinite, cancellationToken);
            return [];
        }
    }

    private sealed class RecordingTier(Action<SharedWrite> written) : SharedTierStub
    {
        public override Task<bool> WriteAsync(SharedWrite write, CancellationToken cancellationToken)
        {
            written(write);
            return Task.FromResult(true);
        }
    }

    /// <summary>Empty, and content with everything.</summary>
    private abstract class SharedTierStub : ISharedTier
    {
        public bool IsAtomic => true;

        public Task<byte[]?> ReadAsync(string key, CancellationToken cancellationToken) => Task.FromResult<byte[]?>(null);

        public Task<byte[]?[]> ReadManyAsync(IReadOnlyList<string> keys, CancellationToken cancellationToken) => Task.FromResult(new byte[]?[keys.Count]);

        public virtual Task<bool> WriteAsync(SharedWrite write, CancellationToken cancellationToken) => Task.FromResult(true);

        public Task ExpireAsync(string key, long version, TimeSpan tombstoneLifetime, CancellationToken cancellationToken) => Task.CompletedTask;

        public virtual Task<TagVersion[]> ReadVersionsAsync(IReadOnlyList<string> names, IReadOnlyList<TagVersion> floors, CancellationToken cancellationToken) =>
            Task.FromResult(names.Select(_ => new TagVersion(1, 1)).ToArray());

        public Task<TagVersion> RaiseVersionAsync(string name, bool isRemoval, TagVersion floor, CancellationToken cancellationToken) =>
            Task.FromResult(new TagVersion(floor.Latest + 1, floor.Latest + 1));
    }
}
