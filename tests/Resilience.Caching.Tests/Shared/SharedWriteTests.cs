using Resilience.Caching.Flights;
using Resilience.Caching.Local;
using Resilience.Caching.Shared;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Shared;

/// <summary>Writes to the shared tier: in the background, a bounded number of them, or awaited.</summary>
public sealed class SharedWriteTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly FakeSharedTier _tier = new();

    private static TaskCompletionSource Gate() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private ResilientCache New(Action<CacheOptions>? configure = null) => TestCache.New(_time, configure, _tier);

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

    /// <summary>A flight is in its list for a moment after its answer: whoever came in it joined, and got what the tier had just refused.</summary>
    [Fact]
    public async Task Write_Refused_NobodyJoinsItsFlightAnyMore()
    {
        await using ResilientCache cache = New();
        await cache.SetAsync("key", "newer");
        KeyStripe stripe = cache.Core.Stripes["key"];
        Flight<int, string> flight = Flight<int, string>.Begin("key", 0, cache.Core.Policies.Default, null, stripe, 0, null);
        stripe.AddUnderLock(flight);
        var older = new SharedWrite("v1:test:key", SharedEnvelope.NewTombstone(), TimeSpan.FromMinutes(1), IsConditional: true);
        await cache.Writer.WriteLoadedAsync(flight, new SharedEntry<string>("older"), older, mustFinish: true);
        Assert.Equal(1, cache.Snapshot().SharedRejected);
        Assert.False(flight.IsListed);
        Assert.Equal("newer", await cache.GetCachedAsync("key"));
        flight.Finish();
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
}
