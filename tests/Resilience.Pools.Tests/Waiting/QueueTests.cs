using System.Collections.Concurrent;
using Resilience.Context;

namespace Resilience.Pools.Tests.Waiting;

/// <summary>Who is served next, and who may wait at all.</summary>
public sealed class QueueTests : IAsyncDisposable
{
    private readonly PoolFixture _pools = new();

    public ValueTask DisposeAsync() => _pools.DisposeAsync();

    [Fact]
    public async Task AcquireAsync_Exhausted_ServesInOrderOfArrival()
    {
        ResourcePool<Resource> pool = _pools.Make();
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
        ResourcePool<Resource> pool = _pools.Make();
        PoolLease<Resource> holder = await pool.AcquireAsync();
        ValueTask<PoolLease<Resource>> waiting = pool.AcquireAsync();
        Assert.False(pool.TryAcquire(out _));
        holder.Dispose();
        Assert.False(pool.TryAcquire(out _));
        using PoolLease<Resource> lease = await waiting;
        Assert.True(lease.IsValid);
    }

    [Fact]
    public async Task AcquireAsync_QueueFull_RefusesTheNewcomerOrTheLeastImportant()
    {
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 1, MaxWaiters = 2 });
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
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 2, MaxWaiters = 0 });
        using PoolLease<Resource> one = await pool.AcquireAsync();
        using PoolLease<Resource> two = await pool.AcquireAsync();
        await Assert.ThrowsAsync<PoolExhaustedException>(async () => await pool.AcquireAsync());
    }

    [Fact]
    public async Task AcquireAsync_RoomForNobodyButAPlaceIsBeingRemade_IsNotRefused()
    {
        var destroy = new TaskCompletionSource();
        _pools.Factory.OnDestroy = _ => new ValueTask(destroy.Task);
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 1, MaxWaiters = 0 });
        PoolLease<Resource> broken = await pool.AcquireAsync();
        broken.Invalidate();
        broken.Dispose();
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        destroy.SetResult();
        (await waiting).Dispose();
    }

    [Fact]
    public async Task AcquireAsync_Priorities_ServesTheImportantFirstAndStarvesNobody()
    {
        ResourcePool<Resource> pool = _pools.Make();
        PoolLease<Resource> holder = await pool.AcquireAsync();
        var order = new ConcurrentQueue<Priority>();
        var waits = new List<Task> { ServeAsync(Priority.Bulk) };
        _pools.Time.Advance(TimeSpan.FromMilliseconds(1));
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
    public async Task AcquireAsync_PrioritiesOff_ServesInOrderOfArrival()
    {
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 1, Priorities = false });
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
    public async Task AcquireAsync_StandingQueue_ServesTheNewestAndShortensTheWait()
    {
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 1, WaiterOrder = WaiterOrder.AdaptiveLifo, CoDelTarget = TimeSpan.FromMilliseconds(50), CoDelInterval = TimeSpan.FromMilliseconds(500) });
        PoolLease<Resource> holder = await pool.AcquireAsync();
        Task<PoolLease<Resource>> old = pool.AcquireAsync().AsTask();
        _pools.Time.Advance(TimeSpan.FromMilliseconds(501));
        Task<PoolLease<Resource>> shed = pool.AcquireAsync().AsTask();
        _pools.Time.Advance(TimeSpan.FromMilliseconds(51));
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
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 1, WaiterOrder = WaiterOrder.AdaptiveLifo, AcquireTimeout = TimeSpan.FromSeconds(2), LeakThreshold = Timeout.InfiniteTimeSpan });
        PoolLease<Resource> holder = await pool.AcquireAsync();
        Task<PoolLease<Resource>> first = pool.AcquireAsync().AsTask();
        holder.Dispose();
        holder = await first;
        _pools.Time.Advance(TimeSpan.FromSeconds(10));
        Task<PoolLease<Resource>> newcomer = pool.AcquireAsync().AsTask();
        _pools.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.False(newcomer.IsCompleted);
        holder.Dispose();
        (await newcomer).Dispose();
    }

    [Fact]
    public async Task AcquireAsync_ThousandsWait_AllAreServed()
    {
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 4, MaxWaiters = 10_000, AcquireTimeout = Timeout.InfiniteTimeSpan });
        await Task.WhenAll(Enumerable.Range(0, 5_000).Select(_ => Task.Run(async () =>
        {
            await using PoolLease<Resource> lease = await pool.AcquireAsync();
            lease.Resource.Enter();
            await Task.Yield();
            lease.Resource.Leave();
        })));
        Assert.True(_pools.Factory.MostAlive <= 4);
    }
}
