using FsCheck;
using FsCheck.Fluent;
using Resilience.TestKit;

namespace Resilience.Pools.Tests.Creation;

public sealed class CreationTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly Factory _factory = new();

    private ResourcePool<Resource> Make(PoolOptions options, LogCollector? log = null) => new("test", _factory, options, _time, log?.CreateLogger("test"));

    [Fact]
    public async Task Create_Fails_EveryWaiterIsAnsweredAndPermitsStay()
    {
        int failures = 0;
        _factory.OnCreate = _ => ++failures <= 2 ? throw new IOException("down") : default;
        ResourcePool<Resource> pool = Make(new() { MaxSize = 1, BreakAfter = 10, MaxConcurrentCreates = 1, AcquireTimeout = TimeSpan.FromMinutes(1) });
        Task<PoolLease<Resource>>[] waiting = [.. Enumerable.Range(0, 5).Select(_ => pool.AcquireAsync().AsTask())];
        Task served = Task.WhenAll(waiting.Select(async wait => (await wait).Dispose()));
        await Eventually.TrueAsync(() =>
        {
            _time.Advance(TimeSpan.FromMilliseconds(100));
            return served.IsCompleted;
        }, "all five");
        await served;
        Assert.Equal(3, _factory.Attempts);
        Assert.Equal(1, pool.Snapshot().Idle);
    }

    [Fact]
    public async Task Circuit_BackendDown_FailsCallersAtOnceProbesAloneAndRecovers()
    {
        bool isDown = true;
        _factory.OnCreate = _ => isDown ? throw new IOException("down") : default;
        using var log = new LogCollector();
        ResourcePool<Resource> pool = Make(new() { MaxSize = 8, BreakAfter = 3, MaxConcurrentCreates = 4, AcquireTimeout = TimeSpan.FromMinutes(1) }, log);
        Task<PoolLease<Resource>>[] waiting = [.. Enumerable.Range(0, 5).Select(_ => pool.AcquireAsync().AsTask())];
        await Eventually.TrueAsync(() =>
        {
            _time.Advance(TimeSpan.FromMilliseconds(50));
            return waiting.All(wait => wait.IsCompleted);
        }, "all five");
        foreach (Task<PoolLease<Resource>> wait in waiting)
        {
            PoolUnavailableException exception = await Assert.ThrowsAsync<PoolUnavailableException>(() => wait);
            Assert.IsType<IOException>(exception.InnerException);
            Assert.Equal(3, exception.Failures);
        }

        Assert.Equal(PoolBackendState.Down, pool.Snapshot().Backend);
        await Assert.ThrowsAsync<PoolUnavailableException>(async () => await pool.AcquireAsync());
        int before = _factory.Attempts;
        for (int i = 0; i < 40; i++)
        {
            _time.Advance(TimeSpan.FromMilliseconds(100));
            await Eventually.TrueAsync(() => pool.Snapshot().Creating == 0, "the probe");
        }

        // 4 s of pauses between 400 and 800 ms each.
        Assert.InRange(_factory.Attempts - before, 4, 12);
        isDown = false;
        await Eventually.TrueAsync(() =>
        {
            _time.Advance(TimeSpan.FromMilliseconds(100));
            return pool.Snapshot().Backend == PoolBackendState.Up;
        }, "the probe that succeeds");
        (await pool.AcquireAsync()).Dispose();
        await Eventually.TrueAsync(() => log.WithId(2002).Any(), "the log, which is written after the backend counts as up");
        Assert.Single(log.WithId(2001));
        Assert.Single(log.WithId(2002));
    }

    [Fact]
    public async Task Circuit_LivingResourceIsLeft_CallersWaitForIt()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 2, BreakAfter = 1 });
        PoolLease<Resource> living = await pool.AcquireAsync();
        _factory.OnCreate = static _ => throw new IOException("too many connections");
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        await Eventually.TrueAsync(() => pool.Snapshot().Backend == PoolBackendState.Down, "the circuit");
        Assert.False(waiting.IsCompleted);
        living.Dispose();
        (await waiting).Dispose();
    }

    [Fact]
    public async Task Create_ConcurrencyIsBounded_NoStorm()
    {
        var create = new TaskCompletionSource();
        _factory.OnCreate = _ => new ValueTask(create.Task);
        ResourcePool<Resource> pool = Make(new() { MaxSize = 20, MaxConcurrentCreates = 3 });
        Task<PoolLease<Resource>>[] waiting = [.. Enumerable.Range(0, 20).Select(_ => pool.AcquireAsync().AsTask())];
        await Eventually.TrueAsync(() => _factory.Attempts == 3, "three attempts");
        Assert.Equal(3, pool.Snapshot().Creating);
        create.SetResult();
        await Task.WhenAll(waiting);
        Assert.InRange(_factory.MostCreating, 1, 3);
    }

    [Fact]
    public async Task Create_FactoryIgnoresItsToken_FailsInTimeAndKeepsThePlace()
    {
        var create = new TaskCompletionSource();
        _factory.OnCreate = _ => new ValueTask(create.Task);
        ResourcePool<Resource> pool = Make(new() { MaxSize = 1, BreakAfter = 1, CreateTimeout = TimeSpan.FromSeconds(2), AcquireTimeout = TimeSpan.FromMinutes(1) });
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        await Eventually.TrueAsync(() => _factory.Attempts == 1, "the attempt");
        await Eventually.TrueAsync(() =>
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            return waiting.IsCompleted;
        }, "the failure");
        Assert.IsType<TimeoutException>((await Assert.ThrowsAsync<PoolUnavailableException>(() => waiting)).InnerException);
        Assert.Equal(1, pool.Snapshot().Open);

        // What it makes after all is destroyed, and only then is the place free.
        create.SetResult();
        await Eventually.TrueAsync(() =>
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            return pool.Snapshot().Backend == PoolBackendState.Up;
        }, "the next attempt");
        Assert.Equal(1, _factory.MostAlive);
    }

    [Fact]
    public async Task Validate_BrokenIdleOnes_DoNotStarveThePool()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 3, ValidateOnAcquireAfter = TimeSpan.Zero });
        PoolLease<Resource>[] all = [await pool.AcquireAsync(), await pool.AcquireAsync(), await pool.AcquireAsync()];
        foreach (PoolLease<Resource> lease in all)
        {
            lease.Resource.IsBroken = true;
            lease.Dispose();
        }

        for (int i = 0; i < 10; i++)
        {
            using PoolLease<Resource> lease = await pool.AcquireAsync();
            Assert.False(lease.Resource.IsBroken);
        }

        Assert.Equal(3, _factory.MostAlive);
    }

    [Fact]
    public async Task Validate_Hangs_CallerIsServedByANewOne()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 2, ValidateOnAcquireAfter = TimeSpan.FromSeconds(5), ValidateTimeout = TimeSpan.FromSeconds(1), AcquireTimeout = TimeSpan.FromSeconds(30) });
        (await pool.AcquireAsync()).Dispose();
        _time.Advance(TimeSpan.FromSeconds(6));
        _factory.OnValidate = static (_, _) => new ValueTask<bool>(new TaskCompletionSource<bool>().Task);
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        await Eventually.TrueAsync(() =>
        {
            _time.Advance(TimeSpan.FromMilliseconds(100));
            return waiting.IsCompleted;
        }, "the replacement");
        using PoolLease<Resource> lease = await waiting;
        Assert.Equal(2, lease.Resource.Id);
    }

    [Fact]
    public async Task Report_FatalFailure_HasIdleOnesValidatedBeforeUse()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 2, ValidateOnAcquireAfter = Timeout.InfiniteTimeSpan });
        PoolLease<Resource> one = await pool.AcquireAsync();
        PoolLease<Resource> two = await pool.AcquireAsync();
        two.Dispose();
        Assert.True(one.Report(new IOException()));
        one.Dispose();
        Assert.Equal(0, _factory.Validated);
        (await pool.AcquireAsync()).Dispose();
        Assert.Equal(1, _factory.Validated);
        _time.Advance(TimeSpan.FromMilliseconds(5));
        (await pool.AcquireAsync()).Dispose();
        Assert.Equal(1, _factory.Validated);
    }

    [Fact]
    public async Task ValidateOnReturn_ResourceIsBroken_IsDestroyedBeforeAnybodyLeasesIt()
    {
        ResourcePool<Resource> pool = Make(new() { MaxSize = 1, ValidateOnReturn = true, ValidateOnAcquireAfter = Timeout.InfiniteTimeSpan });
        using (PoolLease<Resource> lease = await pool.AcquireAsync())
        {
            lease.Resource.IsBroken = true;
        }

        using (PoolLease<Resource> next = await pool.AcquireAsync())
        {
            Assert.Equal((2, 1, 1), (next.Resource.Id, _factory.Validated, _factory.Destroyed));
        }

        await Eventually.TrueAsync(() => pool.Snapshot().Idle == 1 && _factory.Validated == 2, "the good one's validation");
        Assert.Equal(1, _factory.Destroyed);
    }

    [Fact]
    public async Task Reset_TakesTooLong_ItsTokenIsCancelledAndTheResourceIsReplaced()
    {
        CancellationToken seen = default;
        _factory.OnReset = (_, token) =>
        {
            seen = token;
            return new ValueTask<bool>(new TaskCompletionSource<bool>().Task);
        };
        ResourcePool<Resource> pool = Make(new() { MaxSize = 1, ValidateTimeout = TimeSpan.FromSeconds(1), AcquireTimeout = TimeSpan.FromMinutes(10) });
        (await pool.AcquireAsync()).Dispose();
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        await Eventually.TrueAsync(() =>
        {
            _time.Advance(TimeSpan.FromMilliseconds(100));
            return waiting.IsCompleted;
        }, "the replacement");
        Assert.True(seen.IsCancellationRequested);
        Assert.Equal(2, (await waiting).Resource.Id);
    }

    [Fact]
    public async Task Reset_SaysNo_ResourceIsReplaced()
    {
        _factory.OnReset = static (resource, _) => new(resource.Id != 1);
        ResourcePool<Resource> pool = Make(new() { MaxSize = 1 });
        (await pool.AcquireAsync()).Dispose();
        using PoolLease<Resource> next = await pool.AcquireAsync();
        Assert.Equal(2, next.Resource.Id);
    }

    [Fact]
    public async Task StartAsync_WarmUp_WaitsForMinIdle()
    {
        await using var pool = new ResourcePool<Resource>("test", _factory, new PoolOptions { MaxSize = 5, MinIdle = 3, WarmUp = true });
        await pool.StartAsync();
        Assert.True(pool.Snapshot().Idle >= 3);
    }

    [Fact]
    public void Backoff_AnyFailures_StaysWithinHalfAndWholeOfTheDoubling()
    {
        Prop.ForAll<int, int>((failures, random) =>
        {
            int count = (Math.Abs(failures % 100)) + 1;
            double pause = CreateCircuit.Backoff(count, 100, 800, Math.Abs(random % 1000) / 1000.0);
            double whole = Math.Min(800, 100 * Math.Pow(2, count - 1));
            return pause <= whole && pause > whole / 2.001;
        }).QuickCheckThrowOnFailure();
    }
}
