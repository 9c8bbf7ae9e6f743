using Resilience.TestKit;

namespace Resilience.Pools.Tests.Creation;

/// <summary>Several creations that run at once and end differently.</summary>
public sealed class CreateRoundTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly Factory _factory = new();

    /// <summary>
    /// The one that fails last began before the first failure, and a success has come in between: there is no pause to wait out. The timer that wakes
    /// whoever waits must not be lost over it.
    /// </summary>
    [Fact]
    public async Task Create_FailsAfterOneThatBeganWithItSucceeded_WaitsStillEndInTime()
    {
        TaskCompletionSource[] creations = [.. Enumerable.Range(0, 8).Select(_ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously))];
        int begun = 0;
        _factory.OnCreate = _ => new ValueTask(creations[Interlocked.Increment(ref begun) - 1].Task);
        var pool = new ResourcePool<Resource>("test", _factory, new() { MaxSize = 3, MaxConcurrentCreates = 3, BreakAfter = 10, CreateTimeout = TimeSpan.FromMinutes(5), AcquireTimeout = TimeSpan.FromMinutes(1) }, _time);
        Task<PoolLease<Resource>>[] waiting = [.. Enumerable.Range(0, 3).Select(_ => pool.AcquireAsync().AsTask())];
        await Eventually.TrueAsync(() => Volatile.Read(ref begun) == 3, "three creations at once");
        creations[0].SetException(new IOException("down"));
        await Eventually.TrueAsync(() => pool.Snapshot() is { CreateFailures: 1, Creating: 2 }, "the first failure");
        creations[1].SetResult();
        await Eventually.TrueAsync(() => pool.Snapshot() is { Backend: PoolBackendState.Up, Leased: 1 }, "the success");
        creations[2].SetException(new IOException("down"));

        // What is made in their place hangs: the two that are left can only run out of time.
        await Eventually.TrueAsync(() => Volatile.Read(ref begun) == 5, "the next creations");
        Assert.True(_time.NextDue <= TimeSpan.FromMinutes(1));
        _time.Advance(TimeSpan.FromMinutes(1));
        await Eventually.TrueAsync(() => waiting.Count(wait => wait.IsFaulted) == 2, "the end of both waits");
        Task drained = pool.DrainAsync(TimeSpan.Zero);
        creations[3].SetResult();
        creations[4].SetResult();
        await Eventually.TrueAsync(() =>
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            return drained.IsCompleted;
        }, "the drain");
    }
}
