using Resilience.Caching.Shared;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Shared;

/// <summary>What hangs is waited for as long as one may wait, however many calls it took, and no longer.</summary>
public sealed class SharedTimeoutTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly FakeSharedTier _tier = new();

    private static TaskCompletionSource Gate() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private ResilientCache New(Action<CacheOptions>? configure = null) => TestCache.New(_time, configure, _tier);

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

    /// <summary>Hangs until it is told to stop.</summary>
    private sealed class ListeningTier : SharedTierStub
    {
        public TaskCompletionSource Cancelled { get; } = Gate();

        public override async Task<TagVersion[]> ReadVersionsAsync(IReadOnlyList<string> names, IReadOnlyList<TagVersion> floors, CancellationToken cancellationToken)
        {
            try
            {
                await Task.Delay(Timeout.Infinite, cancellationToken);
                return [];
            }
            finally
            {
                Cancelled.SetResult();
            }
        }
    }
}
