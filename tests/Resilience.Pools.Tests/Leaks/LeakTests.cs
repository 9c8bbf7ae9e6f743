using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Resilience.TestKit;

namespace Resilience.Pools.Tests.Leaks;

public sealed class LeakTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly Factory _factory = new();

    [Theory]
    [InlineData(LeakAction.Report)]
    [InlineData(LeakAction.Reclaim)]
    public async Task Leak_HeldBeyondTheThreshold_IsReportedOnceWithItsHolder(LeakAction action)
    {
        using var log = new LogCollector();
        var pool = new ResourcePool<Resource>("test", _factory, new PoolOptions { MaxSize = 2, LeakThreshold = TimeSpan.FromSeconds(10), LeakAction = action, LeakStackSampling = 1 }, _time, log.CreateLogger("test"));
        PoolLease<Resource> leaked = await pool.AcquireAsync(new PoolRequest { Tag = "checkout" });
        Resource resource = leaked.Resource;
        _time.Advance(TimeSpan.FromSeconds(9.9));
        Assert.Empty(log.WithId(2000));
        _time.Advance(TimeSpan.FromSeconds(1.1));
        LogEntry entry = Assert.Single(log.WithId(2000));
        Assert.Contains("'checkout' LeakTests.cs:", entry.Message, StringComparison.Ordinal);
        Assert.Contains(nameof(Leak_HeldBeyondTheThreshold_IsReportedOnceWithItsHolder), entry.Message, StringComparison.Ordinal);
        _time.Advance(TimeSpan.FromSeconds(60));
        Assert.Single(log.WithId(2000));
        Assert.Equal(1, pool.Snapshot().Leaks);
        if (action == LeakAction.Report)
        {
            Assert.True(leaked.IsValid);
            leaked.Dispose();
            Assert.Equal(1, pool.Snapshot().Idle);
        }
        else
        {
            // Taken away and destroyed, never leased again: its holder may still have the object.
            await Eventually.TrueAsync(() => resource.IsDestroyed, "its end");
            Assert.Throws<PoolLeaseExpiredException>(() => leaked.Resource);
            leaked.Dispose();
            Assert.Equal((1L, 1L), (pool.Snapshot().Reclaims, pool.Snapshot().StaleReturns));
        }
    }

    /// <summary>Quick acquires do not read the clock: when a lease began is known roughly, and it is not called a leak before its time for that.</summary>
    [Fact]
    public async Task Leak_LeaseBeganBetweenSweeps_IsNotReportedTooSoonAndWithinHalfASecond()
    {
        var pool = new ResourcePool<Resource>("test", _factory, new PoolOptions { MaxSize = 1, LeakThreshold = TimeSpan.FromSeconds(10), LeakAction = LeakAction.Reclaim }, _time);
        (await pool.AcquireAsync()).Dispose();
        for (int milliseconds = 0; milliseconds < 500; milliseconds += 70)
        {
            _time.Advance(TimeSpan.FromMilliseconds(milliseconds));
            PoolLease<Resource> lease = await pool.AcquireAsync();
            _time.Advance(TimeSpan.FromMilliseconds(9_999));
            Assert.True(lease.IsValid);
            _time.Advance(TimeSpan.FromMilliseconds(501));
            Assert.False(lease.IsValid);
            (await pool.AcquireAsync()).Dispose();
        }
    }

    [Fact]
    public async Task Reclaim_CallerWaits_IsServedThoughTheLeakCameFirst()
    {
        var pool = new ResourcePool<Resource>("test", _factory, new PoolOptions { MaxSize = 1, LeakThreshold = TimeSpan.FromSeconds(1), LeakAction = LeakAction.Reclaim, AcquireTimeout = TimeSpan.FromMinutes(1) }, _time);
        await pool.AcquireAsync();
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        await Eventually.TrueAsync(() =>
        {
            _time.Advance(TimeSpan.FromMilliseconds(250));
            return waiting.IsCompleted;
        }, "the place that was taken back");
        using PoolLease<Resource> lease = await waiting;
        Assert.Equal((2, 1), (lease.Resource.Id, _factory.MostAlive));
    }

    [Fact]
    public async Task Reclaim_RacesReturn_OneOfThemWins()
    {
        // Sweeps are 20 ms apart. Whoever holds on for 15 to 45 ms returns before one of them, after it, or with it.
        var options = new PoolOptions { MaxSize = 2, LeakThreshold = TimeSpan.FromMilliseconds(10), LeakAction = LeakAction.Reclaim, AcquireTimeout = Timeout.InfiniteTimeSpan, CreateTimeout = TimeSpan.FromMinutes(10) };
        var pool = new ResourcePool<Resource>("test", _factory, options, _time);
        long clock = 0;
        await new StressRunner { Workers = 5 }.RunAsync(async worker =>
        {
            if (worker.Index == 0)
            {
                _time.Advance(TimeSpan.FromMilliseconds(5));
                Interlocked.Increment(ref clock);
                await Task.Yield();
                return;
            }

            PoolLease<Resource> lease = await pool.AcquireAsync();
            long until = Interlocked.Read(ref clock) + worker.Random.Next(3, 10);
            while (Interlocked.Read(ref clock) < until && !worker.IsStopping)
            {
                await Task.Yield();
            }

            lease.Dispose();
        });

        // One for certain, however little the run got done.
        PoolLease<Resource> last = await pool.AcquireAsync();
        _time.Advance(TimeSpan.FromMilliseconds(100));
        last.Dispose();
        PoolSnapshot snapshot = pool.Snapshot();
        Assert.True(snapshot.Reclaims > 0);
        Assert.Equal(snapshot.Reclaims, snapshot.StaleReturns);
        Assert.True(_factory.MostAlive <= 2);
    }

    [Fact]
    public async Task Sampling_SiteHasLeaked_IsRecordedFromThenOn()
    {
        var pool = new ResourcePool<Resource>("test", _factory, new PoolOptions { MaxSize = 2, LeakThreshold = TimeSpan.FromSeconds(1), LeakStackSampling = 1_000_000 }, _time);
        for (int i = 0; i < 3; i++)
        {
            PoolLease<Resource> lease = await pool.AcquireAsync();
            bool hasStack = Assert.Single(pool.Snapshot().Holders).Stack is not null;
            Assert.Equal(i != 1, hasStack);
            _time.Advance(TimeSpan.FromSeconds(i == 0 ? 0 : 2));
            lease.Dispose();
        }
    }

    [Fact]
    public async Task Metrics_AllThatHappens_IsCounted()
    {
        await using ServiceProvider services = new ServiceCollection().AddMetrics().BuildServiceProvider();
        IMeterFactory meters = services.GetRequiredService<IMeterFactory>();
        var metrics = new PoolMetrics(meters);
        using var collector = new MetricCollector(PoolMetrics.MeterName, meters);
        var pool = new ResourcePool<Resource>("shop", _factory, new PoolOptions { MaxSize = 1, AcquireTimeout = TimeSpan.FromSeconds(1), LeakThreshold = TimeSpan.FromSeconds(5), LeakAction = LeakAction.Reclaim }, _time, null, metrics, null, null);
        PoolLease<Resource> lease = await pool.AcquireAsync();
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        collector.Observe();
        Assert.Equal(1, collector.Last("resilience.pool.count", (PoolMetrics.PoolTag, "shop"), (PoolMetrics.StateTag, "used")));
        Assert.Equal(1, collector.Last("resilience.pool.pending_requests"));
        _time.Advance(TimeSpan.FromSeconds(2));
        await Assert.ThrowsAsync<PoolExhaustedException>(() => waiting);
        lease.Dispose();
        lease.Dispose();
        await pool.AcquireAsync();
        _time.Advance(TimeSpan.FromSeconds(6));
        Assert.Equal(1, collector.Sum("resilience.pool.timeouts", (PoolMetrics.ReasonTag, "acquire_timeout")));
        Assert.Equal(1, collector.Sum("resilience.pool.stale_returns"));
        Assert.Equal(1, collector.Sum("resilience.pool.leaks"));
        Assert.Equal(1, collector.Sum("resilience.pool.reclaims"));
        Assert.Equal([2.0], collector.Samples("resilience.pool.use_time").Take(1));
        Assert.Equal(1, collector.Count("resilience.pool.create_time"));
    }
}
