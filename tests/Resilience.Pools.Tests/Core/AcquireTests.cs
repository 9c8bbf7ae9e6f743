using System.Collections.Concurrent;
using Resilience.Context;
using Resilience.TestKit;

namespace Resilience.Pools.Tests.Core;

public sealed class AcquireTests : IAsyncDisposable
{
    private readonly ManualTimeProvider _time = new();
    private readonly Factory _factory = new();
    private readonly List<ResourcePool<Resource>> _pools = [];

    public async ValueTask DisposeAsync()
    {
        foreach (ResourcePool<Resource> pool in _pools)
        {
            Task drained = pool.DrainAsync(TimeSpan.Zero);
            await Eventually.TrueAsync(() =>
            {
                _time.Advance(TimeSpan.FromSeconds(1));
                return drained.IsCompleted;
            }, "the drain at the end of the test");
        }
    }

    private ResourcePool<Resource> Make(PoolOptions? options = null)
    {
        var pool = new ResourcePool<Resource>("test", _factory, options ?? new PoolOptions { MaxSize = 1 }, _time);
        _pools.Add(pool);
        return pool;
    }

    [Fact]
    public async Task AcquireAsync_Returned_LeasesTheNewestAgain()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 3 });
        PoolLease<Resource> first = await pool.AcquireAsync();
        PoolLease<Resource> second = await pool.AcquireAsync();
        int last = second.Resource.Id;
        first.Dispose();
        second.Dispose();
        using PoolLease<Resource> again = await pool.AcquireAsync();
        Assert.Equal(last, again.Resource.Id);
        Assert.Equal(2, _factory.Created);
    }

    [Fact]
    public async Task AcquireAsync_Exhausted_ServesInOrderOfArrival()
    {
        ResourcePool<Resource> pool = Make();
        PoolLease<Resource> holder = await pool.AcquireAsync();
        var order = new ConcurrentQueue<int>();
        var waits = new List<Task>();
        for (int i = 0; i < 20; i++)
        {
            int number = i;
            ValueTask<PoolLease<Resource>> wait = pool.AcquireAsync();
            waits.Add(ServeAsync(wait, number));
        }

        holder.Dispose();
        await Task.WhenAll(waits);
        Assert.Equal(Enumerable.Range(0, 20), order);

        async Task ServeAsync(ValueTask<PoolLease<Resource>> wait, int number)
        {
            using PoolLease<Resource> lease = await wait;
            order.Enqueue(number);
        }
    }

    [Fact]
    public async Task AcquireAsync_SomebodyWaits_NobodyGoesPast()
    {
        ResourcePool<Resource> pool = Make();
        PoolLease<Resource> holder = await pool.AcquireAsync();
        ValueTask<PoolLease<Resource>> waiting = pool.AcquireAsync();
        Assert.False(pool.TryAcquire(out _));
        holder.Dispose();
        Assert.False(pool.TryAcquire(out _));
        using PoolLease<Resource> lease = await waiting;
        Assert.True(lease.IsValid);
    }

    [Fact]
    public async Task AcquireAsync_Timeout_NamesTheHoldersAndKeepsThePermit()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 1, AcquireTimeout = TimeSpan.FromSeconds(2) });
        PoolLease<Resource> holder = await pool.AcquireAsync(new PoolRequest { Tag = "report" });
        _time.Advance(TimeSpan.FromSeconds(20));
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        _time.Advance(TimeSpan.FromSeconds(1.9));
        Assert.False(waiting.IsCompleted);
        _time.Advance(TimeSpan.FromSeconds(0.2));
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
        ResourcePool<Resource> pool = Make(new() { MaxSize = 1, AcquireTimeout = TimeSpan.FromSeconds(2) });
        using PoolLease<Resource> holder = await pool.AcquireAsync();
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        for (int i = 0; i < 4; i++)
        {
            _time.Advance(TimeSpan.FromSeconds(0.5));
            using var source = new CancellationTokenSource();
            Task<PoolLease<Resource>> other = pool.AcquireAsync(source.Token).AsTask();
            await source.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => other);
        }

        await Assert.ThrowsAsync<PoolExhaustedException>(() => waiting.WaitAsync(TimeSpan.FromSeconds(10)));
    }

    [Fact]
    public async Task AcquireAsync_RequestDeadlineIsShorter_EndsTheWait()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 1, AcquireTimeout = TimeSpan.FromMinutes(1) });
        using PoolLease<Resource> holder = await pool.AcquireAsync();
        using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromMilliseconds(300), TimeProvider = _time });
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        _time.Advance(TimeSpan.FromMilliseconds(301));
        PoolExhaustedException exception = await Assert.ThrowsAsync<PoolExhaustedException>(() => waiting);
        Assert.Equal(PoolWaitLimit.RequestDeadline, exception.Limit);
    }

    [Fact]
    public async Task AcquireAsync_ZeroTimeout_FailsAtOnceAndStillHasOneMade()
    {
        // Held up, or it might be there before the caller has looked.
        var create = new TaskCompletionSource();
        _factory.OnCreate = _ => new ValueTask(create.Task);
        ResourcePool<Resource> pool = Make();
        await Assert.ThrowsAsync<PoolExhaustedException>(async () => await pool.AcquireAsync(new PoolRequest { Timeout = TimeSpan.Zero }));
        create.SetResult();
        await Eventually.TrueAsync(() => pool.Snapshot().Idle == 1, "the resource that was made for nobody");
        Assert.True(pool.TryAcquire(out PoolLease<Resource> lease));
        lease.Dispose();
    }

    [Fact]
    public async Task AcquireAsync_CancelledAtEveryGate_LosesNoPermit()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 2 });
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await pool.AcquireAsync(new CancellationToken(true)));
        var create = new TaskCompletionSource();
        _factory.OnCreate = _ => new ValueTask(create.Task);
        using var source = new CancellationTokenSource();
        Task<PoolLease<Resource>> duringCreate = pool.AcquireAsync(source.Token).AsTask();
        await Eventually.TrueAsync(() => _factory.Attempts == 1, "the attempt");
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
        ResourcePool<Resource> pool = Make();
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
        Assert.Equal(1, _factory.Created);
    }

    [Fact]
    public async Task Dispose_Twice_IsCountedAndDoesNothing()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 2 });
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
        ResourcePool<Resource> pool = Make();
        PoolLease<Resource> lease = await pool.AcquireAsync();
        Resource broken = lease.Resource;
        ValueTask<PoolLease<Resource>> waiting = pool.AcquireAsync();
        lease.Invalidate();
        lease.Dispose();
        using PoolLease<Resource> next = await waiting;
        Assert.NotEqual(broken.Id, next.Resource.Id);
        Assert.True(broken.IsDestroyed);
        Assert.Equal(1, _factory.MostAlive);
    }

    [Fact]
    public async Task Return_DestructionIsSlow_ItsPlaceStaysTaken()
    {
        var destroy = new TaskCompletionSource();
        _factory.OnDestroy = _ => new ValueTask(destroy.Task);
        ResourcePool<Resource> pool = Make();
        PoolLease<Resource> lease = await pool.AcquireAsync();
        lease.Invalidate();
        lease.Dispose();
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        await Eventually.TrueAsync(() => pool.Snapshot().Closing == 1, "the destruction");
        Assert.Equal(1, _factory.Attempts);
        destroy.SetResult();
        (await waiting).Dispose();
        Assert.Equal(1, _factory.MostAlive);
    }

    [Fact]
    public async Task AcquireAsync_QueueFull_RefusesTheNewcomerOrTheLeastImportant()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 1, MaxWaiters = 2 });
        PoolLease<Resource> holder = await pool.AcquireAsync();
        Task<PoolLease<Resource>> normal = pool.AcquireAsync().AsTask();
        Task<PoolLease<Resource>> bulk = pool.AcquireAsync(new PoolRequest { Priority = Priority.Bulk }).AsTask();
        PoolExhaustedException refused = await Assert.ThrowsAsync<PoolExhaustedException>(async () => await pool.AcquireAsync(new PoolRequest { Priority = Priority.Bulk }));
        Assert.Equal(PoolWaitLimit.QueueFull, refused.Limit);
        Task<PoolLease<Resource>> critical = pool.AcquireAsync(new PoolRequest { Priority = Priority.Critical }).AsTask();
        Assert.Equal(PoolWaitLimit.QueueFull, (await Assert.ThrowsAsync<PoolExhaustedException>(() => bulk)).Limit);
        holder.Dispose();
        (await critical).Dispose();
        (await normal).Dispose();
    }

    [Fact]
    public async Task AcquireAsync_NoRoomToWaitButRoomToCreate_IsNotRefused()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 2, MaxWaiters = 0 });
        using PoolLease<Resource> one = await pool.AcquireAsync();
        using PoolLease<Resource> two = await pool.AcquireAsync();
        await Assert.ThrowsAsync<PoolExhaustedException>(async () => await pool.AcquireAsync());
    }

    [Fact]
    public async Task AcquireAsync_Priorities_ServesTheImportantFirstAndStarvesNobody()
    {
        ResourcePool<Resource> pool = Make();
        PoolLease<Resource> holder = await pool.AcquireAsync();
        var order = new ConcurrentQueue<Priority>();
        var waits = new List<Task> { ServeAsync(Priority.Bulk) };
        _time.Advance(TimeSpan.FromMilliseconds(1));
        for (int i = 0; i < 10; i++)
        {
            waits.Add(ServeAsync(i % 2 == 0 ? Priority.Normal : Priority.Critical));
        }

        holder.Dispose();
        await Task.WhenAll(waits);
        Assert.Equal(Enumerable.Repeat(Priority.Critical, 5), order.Take(5));

        // One grant in eight goes to whoever waits longest, however unimportant.
        Assert.Contains(Priority.Bulk, order.Take(8));

        async Task ServeAsync(Priority priority)
        {
            using PoolLease<Resource> lease = await pool.AcquireAsync(new PoolRequest { Priority = priority });
            order.Enqueue(priority);
        }
    }

    [Fact]
    public async Task AcquireAsync_StandingQueue_ServesTheNewestAndShortensTheWait()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 1, WaiterOrder = WaiterOrder.AdaptiveLifo, CoDelTarget = TimeSpan.FromMilliseconds(50), CoDelInterval = TimeSpan.FromMilliseconds(500) });
        PoolLease<Resource> holder = await pool.AcquireAsync();
        Task<PoolLease<Resource>> old = pool.AcquireAsync().AsTask();
        _time.Advance(TimeSpan.FromMilliseconds(501));
        Task<PoolLease<Resource>> shed = pool.AcquireAsync().AsTask();
        _time.Advance(TimeSpan.FromMilliseconds(51));
        Assert.Equal(PoolWaitLimit.StandingQueue, (await Assert.ThrowsAsync<PoolExhaustedException>(() => shed)).Limit);
        Task<PoolLease<Resource>> newest = pool.AcquireAsync().AsTask();
        holder.Dispose();
        using (PoolLease<Resource> served = await newest)
        {
            Assert.False(old.IsCompleted);
        }

        (await old).Dispose();
    }

    [Fact]
    public async Task AcquireAsync_QueueWasEmptyForLong_NewcomerHasItsWholeTimeout()
    {
        // A queue that was last empty long ago, because it has been empty ever since, does not stand.
        ResourcePool<Resource> pool = Make(new() { MaxSize = 1, WaiterOrder = WaiterOrder.AdaptiveLifo, AcquireTimeout = TimeSpan.FromSeconds(2), LeakThreshold = Timeout.InfiniteTimeSpan });
        PoolLease<Resource> holder = await pool.AcquireAsync();
        Task<PoolLease<Resource>> first = pool.AcquireAsync().AsTask();
        holder.Dispose();
        holder = await first;
        _time.Advance(TimeSpan.FromSeconds(10));
        Task<PoolLease<Resource>> newcomer = pool.AcquireAsync().AsTask();
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.False(newcomer.IsCompleted);
        holder.Dispose();
        (await newcomer).Dispose();
    }

    [Fact]
    public async Task AcquireAsync_PrioritiesOff_ServesInOrderOfArrival()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 1, Priorities = false });
        PoolLease<Resource> holder = await pool.AcquireAsync();
        Task<PoolLease<Resource>> bulk = pool.AcquireAsync(new PoolRequest { Priority = Priority.Bulk }).AsTask();
        Task<PoolLease<Resource>> critical = pool.AcquireAsync(new PoolRequest { Priority = Priority.Critical }).AsTask();
        holder.Dispose();
        using (PoolLease<Resource> served = await bulk)
        {
            Assert.False(critical.IsCompleted);
        }

        (await critical).Dispose();
    }

    [Fact]
    public async Task AcquireAsync_RoomForNobodyButAPlaceIsBeingRemade_IsNotRefused()
    {
        var destroy = new TaskCompletionSource();
        _factory.OnDestroy = _ => new ValueTask(destroy.Task);
        ResourcePool<Resource> pool = Make(new() { MaxSize = 1, MaxWaiters = 0 });
        PoolLease<Resource> broken = await pool.AcquireAsync();
        broken.Invalidate();
        broken.Dispose();
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        destroy.SetResult();
        (await waiting).Dispose();
    }

    [Fact]
    public async Task AcquireAsync_ThousandsWait_AllAreServed()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 4, MaxWaiters = 10_000, AcquireTimeout = Timeout.InfiniteTimeSpan });
        await Task.WhenAll(Enumerable.Range(0, 5_000).Select(_ => Task.Run(async () =>
        {
            await using PoolLease<Resource> lease = await pool.AcquireAsync();
            lease.Resource.Enter();
            await Task.Yield();
            lease.Resource.Leave();
        })));
        Assert.True(_factory.MostAlive <= 4);
    }

    [Fact]
    public async Task AcquireAsync_NestedInOneFlow_IsNamedAsTheDeadlock()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 1, DetectNestedAcquire = true, AcquireTimeout = TimeSpan.FromSeconds(1) });
        PoolLease<Resource> outer = await pool.AcquireAsync();
        Task<PoolLease<Resource>> inner = pool.AcquireAsync().AsTask();
        _time.Advance(TimeSpan.FromSeconds(2));
        PoolExhaustedException exception = await Assert.ThrowsAsync<PoolExhaustedException>(() => inner);
        Assert.True(exception.IsNestedAcquire);
        Assert.Contains("waits for itself", exception.Message, StringComparison.Ordinal);
        outer.Dispose();

        PoolLease<Resource> alone = await pool.AcquireAsync();
        Task<PoolLease<Resource>>? stranger = null;
        await RunInCleanContextAsync(() => stranger = pool.AcquireAsync().AsTask());
        _time.Advance(TimeSpan.FromSeconds(2));
        Assert.False((await Assert.ThrowsAsync<PoolExhaustedException>(() => stranger!)).IsNestedAcquire);
        alone.Dispose();
    }

    [Fact]
    public async Task RunAsync_ActionThrows_ReturnsAndDestroysWhatIsBroken()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 2 });
        Resource? seen = null;
        await Assert.ThrowsAsync<IOException>(async () => await pool.RunAsync((resource, _, _) =>
        {
            seen = resource;
            return Task.FromException(new IOException());
        }, 0));
        await Eventually.TrueAsync(() => seen!.IsDestroyed, "the broken resource's end");
        Assert.Equal(7, await pool.RunAsync(static (_, state, _) => ValueTask.FromResult(state + 2), 5));
        Assert.Equal((0, 1), (pool.Snapshot().Leased, pool.Snapshot().Idle));
    }

    [Fact]
    public async Task RunAsync_ActionIsCancelled_KeepsTheResource()
    {
        ResourcePool<Resource> pool = Make();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await pool.RunAsync(static (_, _, _) => throw new OperationCanceledException(), 0));
        Assert.Equal(1, pool.Snapshot().Idle);
    }

    [Fact]
    public void Constructor_WrongOptions_TellsEveryErrorWithItsPath()
    {
        Settings.SettingsException exception = Assert.Throws<Settings.SettingsException>(() => new ResourcePool<Resource>("smtp", _factory, new PoolOptions { MaxSize = 0, LifetimeJitter = 2 }));
        Assert.Equal(["Resilience:Pools:smtp:LifetimeJitter", "Resilience:Pools:smtp:MaxSize"], exception.Errors.Select(error => error.Path).Order());
    }

    [Fact]
    public async Task AcquireAndReturn_Uncontended_AllocateNothing()
    {
        var pool = new ResourcePool<Resource>("test", _factory, new PoolOptions());
        _pools.Add(pool);
        (await pool.AcquireAsync()).Dispose();
        AllocationAssert.AtMost(0, () => pool.AcquireAsync().GetAwaiter().GetResult().Dispose());
        AllocationAssert.AtMost(0, () => pool.RunAsync(static (_, _, _) => default(ValueTask), 0));
    }

    [Fact]
    public async Task AcquireAsync_NestedInProduction_IsNamedFromTheSecondExhaustionOn()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 1, AcquireTimeout = TimeSpan.FromSeconds(1), LeakThreshold = Timeout.InfiniteTimeSpan });
        Assert.False(await IsNamedAsync());
        Assert.True(await IsNamedAsync());

        // Looking for it costs; it ends when there was no exhaustion for a while.
        for (int i = 0; i < 200; i++)
        {
            _time.Advance(TimeSpan.FromSeconds(0.5));
        }

        Assert.False(await IsNamedAsync());

        async Task<bool> IsNamedAsync()
        {
            PoolLease<Resource> outer = await pool.AcquireAsync();
            Task<PoolLease<Resource>> inner = pool.AcquireAsync().AsTask();
            _time.Advance(TimeSpan.FromSeconds(2));
            PoolExhaustedException exception = await Assert.ThrowsAsync<PoolExhaustedException>(() => inner);
            outer.Dispose();
            return exception.IsNestedAcquire;
        }
    }

    private static Task RunInCleanContextAsync(Action action)
    {
        using (ExecutionContext.SuppressFlow())
        {
            return Task.Run(action);
        }
    }
}
