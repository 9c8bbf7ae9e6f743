using Resilience.TestKit;

namespace Resilience.Pools.Tests.Core;

public sealed class LifecycleTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly Factory _factory = new();

    private ResourcePool<Resource> Make(PoolOptions options, LogCollector? log = null) => new("test", _factory, options, _time, log?.CreateLogger("test"));

    [Fact]
    public async Task ClearAsync_IdleLeasedAndInCreation_NoneIsLeasedAgain()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 3 });
        PoolLease<Resource> leased = await pool.AcquireAsync();
        (await pool.AcquireAsync()).Dispose();
        var create = new TaskCompletionSource();
        _factory.OnCreate = _ => new ValueTask(create.Task);
        using PoolLease<Resource> taken = await pool.AcquireAsync();
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        await Eventually.TrueAsync(() => _factory.Attempts == 3, "the creation");
        taken.Dispose();
        (await waiting).Dispose();
        await pool.ClearAsync();

        // What was in creation when the clear came is of the old generation, though it is finished after it.
        create.SetResult();
        await Eventually.TrueAsync(() => _factory.Destroyed == 2, "the end of the idle one and of the late one");
        leased.Dispose();
        await Eventually.TrueAsync(() => _factory.Destroyed == 3, "the end of the leased one");
        _factory.OnCreate = null;
        using PoolLease<Resource> fresh = await pool.AcquireAsync();
        Assert.Equal(4, fresh.Resource.Id);
    }

    [Fact]
    public async Task ClearAsync_ReturnRacesClear_NoStaleResourceIsEverLeased()
    {
        var pool = new ResourcePool<Resource>("test", _factory, new PoolOptions { MaxSize = 4, AcquireTimeout = Timeout.InfiniteTimeSpan });
        long cleared = 0;
        await new StressRunner { Workers = 4, MaxIterations = 20_000 }.RunAsync(async worker =>
        {
            if (worker.Index == 0 && worker.Random.Next(20) == 0)
            {
                int newest = _factory.Created;
                await pool.ClearAsync();
                Interlocked.Exchange(ref cleared, newest);
                return;
            }

            long floor = Interlocked.Read(ref cleared);
            using PoolLease<Resource> lease = await pool.AcquireAsync();
            Assert.True(lease.Resource.Id > floor || floor == 0, $"resource {lease.Resource.Id} outlived the clear at {floor}");
        });
        await pool.DisposeAsync();
    }

    [Fact]
    public async Task ClearAsync_Paced_SpreadsTheReplacement()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 10, MinIdle = 10, MaxConcurrentCreates = 10 });
        await pool.StartAsync();
        await Eventually.TrueAsync(() => pool.Snapshot().Idle == 10, "ten idle ones");
        Task clear = pool.ClearAsync(TimeSpan.FromSeconds(10));
        for (int second = 1; second <= 9; second++)
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            await Eventually.TrueAsync(() => pool.Snapshot().Idle == 10, "the replacements");
            Assert.InRange(_factory.Destroyed, second - 1, second + 2);
        }

        await Eventually.TrueAsync(() =>
        {
            _time.Advance(TimeSpan.FromSeconds(0.5));
            return clear.IsCompleted;
        }, "the end of the clear");
        await Eventually.TrueAsync(() => _factory.Destroyed == 10, "all ten replaced");
        await DrainAsync(pool);
    }

    [Fact]
    public async Task DrainAsync_WaitersAndLeases_RefusesWaitersWaitsForLeases()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 1, AcquireTimeout = Timeout.InfiniteTimeSpan });
        PoolLease<Resource> lease = await pool.AcquireAsync();
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        Task<PoolDrainResult> drain = pool.DrainAsync(TimeSpan.FromSeconds(5));
        await Assert.ThrowsAsync<PoolClosedException>(() => waiting);
        await Assert.ThrowsAsync<PoolClosedException>(async () => await pool.AcquireAsync());
        Assert.False(drain.IsCompleted);
        Assert.False(lease.Resource.IsDestroyed);
        lease.Dispose();
        Assert.Equal(new PoolDrainResult(1, 0, true), await drain);
        Assert.Equal(0, _factory.Alive);
        Assert.Same(drain, pool.DrainAsync());
    }

    [Fact]
    public async Task DrainAsync_LeaseIsKept_IsTakenAwayAtTheDeadline()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 2 });
        PoolLease<Resource> kept = await pool.AcquireAsync();
        Task<PoolDrainResult> drain = pool.DrainAsync(TimeSpan.FromSeconds(5));
        await Eventually.TrueAsync(() =>
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            return drain.IsCompleted;
        }, "the drain");
        Assert.Equal(new PoolDrainResult(0, 1, true), await drain);
        Assert.Throws<PoolLeaseExpiredException>(() => kept.Resource);
        kept.Dispose();
        Assert.Equal(0, _factory.Alive);
    }

    [Fact]
    public async Task DrainAsync_CreationInFlight_ItsProductIsDestroyed()
    {
        var create = new TaskCompletionSource();
        _factory.OnCreate = _ => new ValueTask(create.Task);
        ResourcePool<Resource> pool = Make(new() { MaxSize = 2 });
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        await Eventually.TrueAsync(() => _factory.Attempts == 1, "the creation");
        Task<PoolDrainResult> drain = pool.DrainAsync(TimeSpan.FromSeconds(5));
        await Assert.ThrowsAsync<PoolClosedException>(() => waiting);
        create.SetResult();
        Assert.True((await drain).IsEmpty);
        Assert.Equal((1, 0), (_factory.Created, _factory.Alive));
    }

    [Fact]
    public async Task Sweep_IdleBeyondTheTimeout_IsDestroyedDownToMinIdle()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 5, MinIdle = 2, IdleTimeout = TimeSpan.FromSeconds(60), ValidateOnAcquireAfter = Timeout.InfiniteTimeSpan });
        var leases = new List<PoolLease<Resource>>();
        for (int i = 0; i < 5; i++)
        {
            leases.Add(await pool.AcquireAsync());
        }

        leases.ForEach(lease => lease.Dispose());
        _time.Advance(TimeSpan.FromSeconds(55));
        Assert.Equal(5, pool.Snapshot().Idle);
        _time.Advance(TimeSpan.FromSeconds(7));
        await Eventually.TrueAsync(() => pool.Snapshot() is { Idle: 2, Open: 2 }, "the idle ones' end");
        await DrainAsync(pool);
    }

    [Fact]
    public async Task Sweep_TooOld_IsReplacedAtDifferentMoments()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 20, MinIdle = 20, MaxConcurrentCreates = 20, MaxLifetime = TimeSpan.FromSeconds(100), LifetimeJitter = 0.5, IdleTimeout = Timeout.InfiniteTimeSpan });
        await pool.StartAsync();
        await Eventually.TrueAsync(() => pool.Snapshot().Idle == 20, "twenty");
        _time.Advance(TimeSpan.FromSeconds(49));
        Assert.Equal(0, _factory.Destroyed);
        _time.Advance(TimeSpan.FromSeconds(26));
        await Eventually.TrueAsync(() => pool.Snapshot().Closing == 0, "the destructions");
        Assert.InRange(_factory.Destroyed, 1, 19);
        _time.Advance(TimeSpan.FromSeconds(26));
        await Eventually.TrueAsync(() => _factory.Destroyed >= 20, "the last of the first ones");
        await DrainAsync(pool);
    }

    [Fact]
    public async Task Acquire_TooOld_IsNotLeased()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 1, MaxLifetime = TimeSpan.FromMinutes(10), LifetimeJitter = 0, LeakThreshold = Timeout.InfiniteTimeSpan });
        PoolLease<Resource> first = await pool.AcquireAsync();
        _time.Advance(TimeSpan.FromMinutes(11));
        Assert.True(first.IsValid);
        first.Dispose();
        using PoolLease<Resource> second = await pool.AcquireAsync();
        Assert.Equal(2, second.Resource.Id);
    }

    [Fact]
    public async Task KeepAlive_IdleResourceBroken_IsReplaced()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 2, MinIdle = 1, KeepAliveInterval = TimeSpan.FromSeconds(10), IdleTimeout = Timeout.InfiniteTimeSpan });
        Resource first;
        using (PoolLease<Resource> lease = await pool.AcquireAsync())
        {
            first = lease.Resource;
        }

        _time.Advance(TimeSpan.FromSeconds(11));
        await Eventually.TrueAsync(() => _factory.Validated == 1 && pool.Snapshot().Idle == 1, "the keep-alive");
        Assert.False(first.IsDestroyed);
        first.IsBroken = true;
        _time.Advance(TimeSpan.FromSeconds(11));
        await Eventually.TrueAsync(() => first.IsDestroyed, "its end");
        await Eventually.TrueAsync(() =>
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            return pool.Snapshot().Idle == 1;
        }, "its replacement");
        await DrainAsync(pool);
    }

    [Fact]
    public async Task Apply_MinIdleRaisedOnAQuietPool_MakesThem()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 5 });
        await pool.StartAsync();
        Assert.Equal(0, _factory.Attempts);
        pool.Apply(new PoolOptions { MaxSize = 5, MinIdle = 3 });
        await Eventually.TrueAsync(() => pool.Snapshot().Idle == 3, "three idle ones");
        await DrainAsync(pool);
    }

    [Fact]
    public async Task DrainAsync_HostIsOutOfPatience_TakesLeasesAwayAtOnce()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 2 });
        PoolLease<Resource> kept = await pool.AcquireAsync();
        PoolDrainResult result = await pool.DrainAsync(TimeSpan.FromMinutes(5), new CancellationToken(canceled: true));
        Assert.Equal(1, result.Reclaimed);
        Assert.False(kept.IsValid);
        await Eventually.TrueAsync(() => _factory.Alive == 0, "the end of what was taken away");
    }

    [Fact]
    public async Task Resize_Smaller_GivesUpIdleNowAndLeasedOnReturn()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 4 });
        PoolLease<Resource>[] leases = [await pool.AcquireAsync(), await pool.AcquireAsync(), await pool.AcquireAsync(), await pool.AcquireAsync()];
        leases[0].Dispose();
        pool.Resize(2);
        await Eventually.TrueAsync(() => pool.Snapshot().Open == 3, "the idle one's end");
        leases[1].Dispose();
        await Eventually.TrueAsync(() => pool.Snapshot().Open == 2, "the returned one's end");
        leases[2].Dispose();
        Assert.Equal((1, 1), (pool.Snapshot().Idle, pool.Snapshot().Leased));
        leases[3].Dispose();
        await DrainAsync(pool);
    }

    [Fact]
    public async Task Resize_LargerWhileManyWait_ServesThemAtOnce()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 1, MaxConcurrentCreates = 16 });
        PoolLease<Resource> holder = await pool.AcquireAsync();
        Task<PoolLease<Resource>>[] waiting = [.. Enumerable.Range(0, 9).Select(_ => pool.AcquireAsync().AsTask())];
        pool.Resize(10);
        PoolLease<Resource>[] leases = await Task.WhenAll(waiting).WaitAsync(TimeSpan.FromMinutes(1));
        Assert.Equal(9, leases.Select(lease => lease.Resource.Id).Distinct().Count());
        foreach (PoolLease<Resource> lease in leases.Append(holder))
        {
            lease.Dispose();
        }

        await DrainAsync(pool);
    }

    [Fact]
    public async Task Upkeep_FirstCallersContext_IsNotKept()
    {
        var pool = new ResourcePool<Resource>("test", _factory, new PoolOptions { MaxSize = 1 });
        LeakAssert.Collected(async probe =>
        {
            var local = new AsyncLocal<object?> { Value = probe.Track(new byte[1024]) };
            await using PoolLease<Resource> lease = await pool.AcquireAsync();
            await Assert.ThrowsAsync<PoolExhaustedException>(async () => await pool.AcquireAsync(new PoolRequest { Timeout = TimeSpan.FromMilliseconds(1) }));
            local.Value = null;
        });
        await pool.DisposeAsync();
    }

    private async Task DrainAsync(ResourcePool<Resource> pool)
    {
        Task drain = pool.DrainAsync();
        await Eventually.TrueAsync(() =>
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            return drain.IsCompleted;
        }, "the drain");
    }
}
