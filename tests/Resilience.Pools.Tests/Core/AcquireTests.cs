using Resilience.Context;
using Resilience.TestKit;

namespace Resilience.Pools.Tests.Core;

/// <summary>What a caller gets, or is told, and what becomes of a lease.</summary>
public sealed class AcquireTests : IAsyncDisposable
{
    private readonly PoolFixture _pools = new();

    public ValueTask DisposeAsync() => _pools.DisposeAsync();

    [Fact]
    public async Task AcquireAsync_Returned_LeasesTheNewestAgain()
    {
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 3 });
        PoolLease<Resource> first = await pool.AcquireAsync();
        PoolLease<Resource> second = await pool.AcquireAsync();
        int last = second.Resource.Id;
        first.Dispose();
        second.Dispose();
        using PoolLease<Resource> again = await pool.AcquireAsync();
        Assert.Equal(last, again.Resource.Id);
        Assert.Equal(2, _pools.Factory.Created);
    }

    [Fact]
    public async Task AcquireAsync_Timeout_NamesTheHoldersAndKeepsThePermit()
    {
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 1, AcquireTimeout = TimeSpan.FromSeconds(2) });
        PoolLease<Resource> holder = await pool.AcquireAsync(new PoolRequest { Tag = "report" });
        _pools.Time.Advance(TimeSpan.FromSeconds(20));
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        _pools.Time.Advance(TimeSpan.FromSeconds(1.9));
        Assert.False(waiting.IsCompleted);
        _pools.Time.Advance(TimeSpan.FromSeconds(0.2));
        PoolExhaustedException exception = await Assert.ThrowsAsync<PoolExhaustedException>(() => waiting);
        Assert.Equal((1, 1, 0, PoolWaitLimit.AcquireTimeout), (exception.Size, exception.MaxSize, exception.Idle, exception.Limit));
        PoolHolder named = Assert.Single(exception.Holders);
        Assert.Equal("report", named.Tag);
        Assert.Equal("AcquireTests.cs", Path.GetFileName(named.File));
        Assert.True(named.Age >= TimeSpan.FromSeconds(22));
        Assert.Contains("oldest lease 22 s at 'report' AcquireTests.cs", exception.Message, StringComparison.Ordinal);
        holder.Dispose();
        using PoolLease<Resource> next = await pool.AcquireAsync();
        Assert.Equal(0, pool.Snapshot().Waiting);
    }

    [Fact]
    public async Task AcquireAsync_WokenWaiterLosesNothing_DeadlineIsAbsolute()
    {
        // A wait that is disturbed by others' comings and goings ends when it would have ended anyway.
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 1, AcquireTimeout = TimeSpan.FromSeconds(2) });
        using PoolLease<Resource> holder = await pool.AcquireAsync();
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        for (int i = 0; i < 4; i++)
        {
            _pools.Time.Advance(TimeSpan.FromSeconds(0.5));
            using var source = new CancellationTokenSource();
            Task<PoolLease<Resource>> other = pool.AcquireAsync(source.Token).AsTask();
            await source.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => other);
        }

        await Assert.ThrowsAsync<PoolExhaustedException>(() => waiting.WaitAsync(TimeSpan.FromMinutes(1)));
    }

    [Fact]
    public async Task AcquireAsync_RequestDeadlineIsShorter_EndsTheWait()
    {
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 1, AcquireTimeout = TimeSpan.FromMinutes(1) });
        using PoolLease<Resource> holder = await pool.AcquireAsync();
        using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromMilliseconds(300), TimeProvider = _pools.Time });
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        _pools.Time.Advance(TimeSpan.FromMilliseconds(301));
        PoolExhaustedException exception = await Assert.ThrowsAsync<PoolExhaustedException>(() => waiting);
        Assert.Equal(PoolWaitLimit.RequestDeadline, exception.Limit);
    }

    [Fact]
    public async Task AcquireAsync_ZeroTimeout_FailsAtOnceAndStillHasOneMade()
    {
        // Held up, or it might be there before the caller has looked.
        var create = new TaskCompletionSource();
        _pools.Factory.OnCreate = _ => new ValueTask(create.Task);
        ResourcePool<Resource> pool = _pools.Make();
        await Assert.ThrowsAsync<PoolExhaustedException>(async () => await pool.AcquireAsync(new PoolRequest { Timeout = TimeSpan.Zero }));
        create.SetResult();
        await Eventually.TrueAsync(() => pool.Snapshot().Idle == 1, "the resource that was made for nobody");
        Assert.True(pool.TryAcquire(out PoolLease<Resource> lease));
        lease.Dispose();
    }

    [Fact]
    public async Task AcquireAsync_CancelledAtEveryGate_LosesNoPermit()
    {
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 2 });
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await pool.AcquireAsync(new CancellationToken(true)));
        var create = new TaskCompletionSource();
        _pools.Factory.OnCreate = _ => new ValueTask(create.Task);
        using var source = new CancellationTokenSource();
        Task<PoolLease<Resource>> duringCreate = pool.AcquireAsync(source.Token).AsTask();
        await Eventually.TrueAsync(() => _pools.Factory.Attempts == 1, "the attempt");
        await source.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => duringCreate);

        // The pool makes resources for itself: the one whose caller has gone lands idle.
        create.SetResult();
        await Eventually.TrueAsync(() => pool.Snapshot().Idle == 1, "the product");
        PoolLease<Resource> one = await pool.AcquireAsync();
        PoolLease<Resource> two = await pool.AcquireAsync();
        using var later = new CancellationTokenSource();
        Task<PoolLease<Resource>> duringWait = pool.AcquireAsync(later.Token).AsTask();
        await later.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => duringWait);
        one.Dispose();
        two.Dispose();
        Assert.Equal(2, pool.Snapshot().Idle);
    }

    [Fact]
    public async Task AcquireAsync_CancelRacesGrant_TheLeaseIsDeliveredOrStaysInThePool()
    {
        ResourcePool<Resource> pool = _pools.Make();
        await new StressRunner { Workers = 1, MaxIterations = 3_000 }.RunAsync(async _ =>
        {
            PoolLease<Resource> holder = await pool.AcquireAsync();
            using var source = new CancellationTokenSource();
            ValueTask<PoolLease<Resource>> waiting = pool.AcquireAsync(source.Token);
            Task cancel = Task.Run(source.Cancel);
            holder.Dispose();
            try
            {
                (await waiting).Dispose();
            }
            catch (OperationCanceledException)
            {
            }

            await cancel;
        });
        Assert.Equal(1, pool.Snapshot().Idle);
        Assert.Equal(1, _pools.Factory.Created);
    }

    [Fact]
    public async Task Dispose_Twice_IsCountedAndDoesNothing()
    {
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 2 });
        PoolLease<Resource> lease = await pool.AcquireAsync();
        lease.Dispose();
        lease.Dispose();
        using PoolLease<Resource> next = await pool.AcquireAsync();
        lease.Dispose();
        lease.Invalidate();
        Assert.True(next.IsValid);
        Assert.Throws<PoolLeaseExpiredException>(() => lease.Resource);
        Assert.Equal(2, pool.Snapshot().StaleReturns);
        Assert.Equal((1, 0), (pool.Snapshot().Leased, pool.Snapshot().Idle));
        default(PoolLease<Resource>).Dispose();
        Assert.Throws<PoolLeaseExpiredException>(() => default(PoolLease<Resource>).Resource);
    }

    [Fact]
    public async Task Invalidate_Returned_IsDestroyedAndReplacedForTheWaiter()
    {
        ResourcePool<Resource> pool = _pools.Make();
        PoolLease<Resource> lease = await pool.AcquireAsync();
        Resource broken = lease.Resource;
        ValueTask<PoolLease<Resource>> waiting = pool.AcquireAsync();
        lease.Invalidate();
        lease.Dispose();
        using PoolLease<Resource> next = await waiting;
        Assert.NotEqual(broken.Id, next.Resource.Id);
        Assert.True(broken.IsDestroyed);
        Assert.Equal(1, _pools.Factory.MostAlive);
    }

    [Fact]
    public async Task Return_DestructionIsSlow_ItsPlaceStaysTaken()
    {
        var destroy = new TaskCompletionSource();
        _pools.Factory.OnDestroy = _ => new ValueTask(destroy.Task);
        ResourcePool<Resource> pool = _pools.Make();
        PoolLease<Resource> lease = await pool.AcquireAsync();
        lease.Invalidate();
        lease.Dispose();
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        await Eventually.TrueAsync(() => pool.Snapshot().Closing == 1, "the destruction");
        Assert.Equal(1, _pools.Factory.Attempts);
        destroy.SetResult();
        (await waiting).Dispose();
        Assert.Equal(1, _pools.Factory.MostAlive);
    }

    [Fact]
    public void Constructor_WrongOptions_TellsEveryErrorWithItsPath()
    {
        Settings.SettingsException exception = Assert.Throws<Settings.SettingsException>(() => new ResourcePool<Resource>("smtp", _pools.Factory, new PoolOptions { MaxSize = 0, LifetimeJitter = 2 }));
        Assert.Equal(["Resilience:Pools:smtp:LifetimeJitter", "Resilience:Pools:smtp:MaxSize"], exception.Errors.Select(error => error.Path).Order());
    }

    /// <summary>A limit of seconds does not need the clock to be read for each lease; a shorter one does.</summary>
    [Theory]
    [InlineData(30, 0)]
    [InlineData(1, 10)]
    public async Task AcquireAndReturn_Uncontended_ReadTheClockOnlyForShortLimits(int leakThreshold, int reads)
    {
        var clock = new CountingClock();
        ResourcePool<Resource> pool = _pools.Make(new() { LeakThreshold = TimeSpan.FromSeconds(leakThreshold) }, clock);
        (await pool.AcquireAsync()).Dispose();
        await Eventually.TrueAsync(() => pool.Snapshot().Idle == 1, "rest");
        int before = clock.Reads;
        for (int i = 0; i < 10; i++)
        {
            (await pool.AcquireAsync()).Dispose();
        }

        Assert.Equal(reads, clock.Reads - before);
    }

    [Fact]
    public async Task AcquireAndReturn_Uncontended_AllocateNothing()
    {
        ResourcePool<Resource> pool = _pools.Make(new(), TimeProvider.System);
        (await pool.AcquireAsync()).Dispose();
        AllocationAssert.AtMost(0, () => pool.AcquireAsync().GetAwaiter().GetResult().Dispose());
        AllocationAssert.AtMost(0, () => pool.RunAsync(static (_, _, _) => default(ValueTask), 0));
    }

    /// <summary>It stands still, and counts who looks at it.</summary>
    private sealed class CountingClock : TimeProvider
    {
        private int _reads;

        public int Reads => Volatile.Read(ref _reads);

        public override long GetTimestamp()
        {
            Interlocked.Increment(ref _reads);
            return TimeSpan.TicksPerDay;
        }

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) => new ManualTimeProvider().CreateTimer(callback, state, dueTime, period);
    }
}
