using Microsoft.Extensions.Logging;
using Resilience.Caching.Tests.Shared;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Backplane;

/// <summary>What nodes tell one another, and how a node finds out that it was not told.</summary>
public sealed class BackplaneLinkTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly FakeSharedTier _tier = new();

    private async Task<ResilientCache> NewAsync(Action<CacheOptions>? configure = null, ILogger? logger = null)
    {
        ResilientCache cache = TestCache.New(
            _time,
            options =>
            {
                // Nothing of this may pass by itself while a test moves the clock.
                options.Shared.HardTimeout = options.Shared.SoftTimeout = TimeSpan.FromSeconds(20);
                options.Shared.Backplane.Heartbeat = TimeSpan.FromMinutes(2);
                options.Expiration = TimeSpan.FromHours(10);
                options.Shared.BlindFor = TimeSpan.FromSeconds(30);
                configure?.Invoke(options);
            },
            _tier,
            hasBackplane: true,
            parts => logger is null ? parts : parts with { Logger = logger });
        cache.Upkeep.Start();
        await UpAsync(cache);
        TestCache.Until(() => cache.Snapshot().Distrusted > 0, "the distrust of what was before");
        return cache;
    }

    private async Task UpAsync(ResilientCache cache)
    {
        await _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(50), () => cache.Upkeep.Link!.IsUp, "the channel");
        await Task.CompletedTask;
    }

    /// <summary>Reads a key until the node keeps it: news of the key that comes while it is read makes the node keep nothing.</summary>
    private static async Task TakeAsync(ResilientCache node, string key)
    {
        do
        {
            Assert.Equal("old", await node.GetCachedAsync(key));
        }
        while (!node.TryGet<string>(key).HasValue);
    }

    [Fact]
    public async Task Hear_SomethingFailsOverAMessage_TheNodeDoubtsWhatItHasAndListensOn()
    {
        var logger = new FailingLogger();
        await using ResilientCache one = await NewAsync(logger: logger);
        await using ResilientCache two = await NewAsync();
        long distrusted = one.Snapshot().Distrusted;
        logger.Fails = true;
        await _tier.PublishAsync("v1:test:changes", "no message of ours"u8.ToArray(), default);
        TestCache.Until(() => logger.Failures > 0, "the failure");
        logger.Fails = false;
        TestCache.Until(() => one.Snapshot().Distrusted > distrusted, "the doubt");
        await two.SetAsync("key", "old");
        await TakeAsync(one, "key");
        await two.RemoveAsync("key");
        TestCache.Until(() => !one.TryGet<string>("key").HasValue, "the news");
    }

    [Fact]
    public async Task Changes_OfKeysAndTags_AreHeardByTheOtherNode()
    {
        await using ResilientCache one = await NewAsync();
        await using ResilientCache two = await NewAsync();
        foreach (string key in (string[])["set", "removed", "expired", "tagged", "untouched"])
        {
            await one.SetAsync(key, "old", tags: key == "tagged" ? ["tag"] : null);
            await TakeAsync(two, key);
        }

        await one.SetAsync("set", "new");
        await one.RemoveAsync("removed");
        await one.ExpireAsync("expired");
        await one.RemoveByTagAsync("tag");
        TestCache.Until(() => !two.TryGet<string>("set").HasValue && !two.TryGet<string>("removed").HasValue && two.TryGet<string>("expired").IsStale && !two.TryGet<string>("tagged").HasValue, "all four changes");
        Assert.True(two.TryGet<string>("untouched").HasValue);
        Assert.Equal("new", await two.GetCachedAsync("set"));
        Assert.Equal("new", one.TryGet<string>("set").Value);
        await one.ClearAsync();
        TestCache.Until(() => !two.TryGet<string>("untouched").HasValue, "the clearing");
    }

    [Fact]
    public async Task Gap_InTheNumbers_MakesTheNodeCompareInsteadOfFlushing()
    {
        await using ResilientCache one = await NewAsync();
        await using ResilientCache two = await NewAsync();
        foreach (string key in (string[])["same", "changed"])
        {
            await one.SetAsync(key, "old");
            await TakeAsync(two, key);
        }

        await SettleAsync(one, two);
        long distrusted = two.Snapshot().Distrusted;
        _tier.DropsMessages = true;
        await one.SetAsync("changed", "new");
        await Task.Run(() => TestCache.Until(() => one.Upkeep.Link!.Announcer.Waiting == 0, "the lost message"));
        _tier.DropsMessages = false;
        Assert.Equal("old", two.TryGet<string>("changed").Value); // It cannot know yet.
        await one.SetAsync("other", "value");
        await _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(50), () => two.Snapshot().Distrusted > distrusted, "the gap to be noticed");

        Assert.Equal("new", await two.GetCachedAsync("changed"));
        long reads = _tier.Reads;
        Assert.Equal("old", await two.GetCachedAsync("same"));
        Assert.Equal("old", await two.GetCachedAsync("same"));
        Assert.Equal(reads + 1, _tier.Reads); // Compared once, then trusted again.
        Assert.True(two.Snapshot().Revalidated >= 1);
        Assert.Equal(0, two.Snapshot().SourceLoads);
    }

    [Fact]
    public async Task Connection_LostAndBack_IsProvedAgainAndEverythingCompared()
    {
        await using ResilientCache one = await NewAsync();
        await one.SetAsync("key", "value");
        await SettleAsync(one);
        long distrusted = one.Snapshot().Distrusted;
        int pings = _tier.Calls.Count(call => call == "publish");
        int subscriptions = _tier.Calls.Count(call => call == "subscribe");
        _tier.Disconnect(isBack: true);
        await _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(50), () => _tier.Calls.Count(call => call == "subscribe") > subscriptions && one.Upkeep.Link!.IsUp, "the new subscription");
        Assert.True(_tier.Calls.Count(call => call == "publish") > pings);
        Assert.True(one.Snapshot().Distrusted > distrusted);
        long reads = _tier.Reads;
        Assert.Equal("value", await one.GetCachedAsync("key"));
        Assert.Equal(reads + 1, _tier.Reads);
    }

    [Fact]
    public async Task Silence_PastAHeartbeat_IsFoundByAPingThatDoesNotComeBack()
    {
        await using ResilientCache one = await NewAsync();
        await one.SetAsync("key", "value");
        await SettleAsync(one);
        _tier.DropsMessages = true; // A subscription that is dead without anybody having said so.
        await _time.AdvanceUntilAsync(TimeSpan.FromSeconds(5), () => !one.Upkeep.Link!.IsUp, "the silence to be noticed");
        TestCache.Until(() => one.Core.IsBlind, "the blindness");

        // While it is blind what it keeps lives no longer than BlindFor.
        await one.GetAsync("blind", "value", new CacheEntryOptions { Expiration = TimeSpan.FromHours(1) });
        _time.Advance(TimeSpan.FromSeconds(31));
        Assert.True(one.TryGet<string>("blind") is not { HasValue: true, IsStale: false });

        _tier.DropsMessages = false;
        await UpAsync(one);
        TestCache.Until(() => !one.Core.IsBlind, "the end of the blindness");
    }

    [Fact]
    public async Task Suspect_SharedTierOut_IsTrustedForBlindForAndNoLonger()
    {
        await using ResilientCache one = await NewAsync(options => options.Expiration = TimeSpan.FromHours(1));
        await one.SetAsync("key", "value");
        await SettleAsync(one);
        _tier.Before = call => call is "read" or "versions" ? Task.FromException(new IOException()) : Task.CompletedTask;
        one.Core.Distrust();
        Assert.Equal("value", await one.GetCachedAsync("key"));
        _time.Advance(TimeSpan.FromSeconds(31));
        Assert.Equal("source", await one.GetAsync("key", "source"));
    }

    [Fact]
    public async Task Burst_OfChanges_GoesOutInFewMessages()
    {
        await using ResilientCache one = await NewAsync();
        await SettleAsync(one);
        int before = _tier.Calls.Count(call => call == "publish");
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _tier.Before = call => call == "publish" ? gate.Task : Task.CompletedTask;
        for (int i = 0; i < 400; i++)
        {
            await one.RemoveAsync($"key{i % 200}");
        }

        gate.SetResult();
        TestCache.Until(() => one.Upkeep.Link!.Announcer.Waiting == 0, "the announcements");
        Assert.InRange(_tier.Calls.Count(call => call == "publish") - before, 1, 6);
    }

    [Fact]
    public async Task Announcements_MoreThanMayWait_BecomeOneThatMakesEverybodyCompare()
    {
        await using ResilientCache one = await NewAsync(options => options.Shared.Backplane.MaxPending = 16);
        await using ResilientCache two = await NewAsync();
        await one.SetAsync("key", "value");
        Assert.Equal("value", await two.GetCachedAsync("key"));
        await SettleAsync(one, two);
        long distrusted = two.Snapshot().Distrusted;
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _tier.Before = call => call == "publish" ? gate.Task : Task.CompletedTask;
        for (int i = 0; i < 50; i++)
        {
            await one.RemoveAsync($"key{i}");
        }

        Assert.True(one.Upkeep.Link!.Announcer.Waiting <= 16);
        _tier.Before = null;
        gate.SetResult();
        TestCache.Until(() => two.Snapshot().Distrusted > distrusted, "the word that something was lost");
    }

    [Fact]
    public async Task Message_ThatNobodyCanRead_MakesTheNodeCompare()
    {
        await using ResilientCache one = await NewAsync();
        await SettleAsync(one);
        long distrusted = one.Snapshot().Distrusted;
        await _tier.PublishAsync("v1:test:changes", [9, 9, 9], default);
        TestCache.Until(() => one.Snapshot().Distrusted > distrusted, "the distrust");
    }

    /// <summary>Waits until all that was announced so far has been sent and heard.</summary>
    private static async Task SettleAsync(params ResilientCache[] caches)
    {
        foreach (ResilientCache cache in caches)
        {
            TestCache.Until(() => cache.Upkeep.Link!.Announcer.Waiting == 0, "the announcements");
        }

        foreach (ResilientCache cache in caches)
        {
            long heard = cache.Core.Statistics.Read(Resilience.Caching.Telemetry.CacheCount.MessagesHeard);
            await cache.Upkeep.Link!.Announcer.PingAsync();
            TestCache.Until(() => cache.Core.Statistics.Read(Resilience.Caching.Telemetry.CacheCount.MessagesHeard) > heard, "a ping");
        }
    }

    private sealed class FailingLogger : ILogger
    {
        private volatile bool _fails;
        private volatile int _failures;

        public bool Fails
        {
            get => _fails;
            set => _fails = value;
        }

        public int Failures => _failures;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (Fails)
            {
                Interlocked.Increment(ref _failures);
                throw new InvalidOperationException("The log is full.");
            }
        }
    }
}
