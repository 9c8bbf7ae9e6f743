using System.Diagnostics;
using System.Threading.RateLimiting;
using Resilience.TestKit;

namespace Resilience.Pools.Tests.Admission;

public sealed class PoolAdmissionTests
{
    private readonly Factory _factory = new();

    [Fact]
    public async Task AcquireAsync_NoPermit_IsRefusedAndToldWhenToComeBack()
    {
        using var limiter = new TokenBucketRateLimiter(new TokenBucketRateLimiterOptions { TokenLimit = 1, TokensPerPeriod = 1, ReplenishmentPeriod = TimeSpan.FromHours(1), AutoReplenishment = false });
        await using var pool = new ResourcePool<Resource>("test", _factory, admission: new PoolAdmission(limiter));
        (await pool.AcquireAsync()).Dispose();
        PoolRejectedException exception = await Assert.ThrowsAsync<PoolRejectedException>(async () => await pool.AcquireAsync());
        Assert.Equal(TimeSpan.FromHours(1), exception.RetryAfter);
        Assert.False(pool.TryAcquire(out _));
    }

    [Fact]
    public async Task AcquireAsync_WaitsForPermitAndResource_UnderOneDeadline()
    {
        var time = new ManualTimeProvider();
        using var limiter = new ConcurrencyLimiter(new ConcurrencyLimiterOptions { PermitLimit = 1, QueueLimit = 10 });
        var pool = new ResourcePool<Resource>("test", _factory, new PoolOptions { MaxSize = 2, AcquireTimeout = TimeSpan.FromSeconds(2) }, time, admission: new PoolAdmission(limiter));
        PoolLease<Resource> lease = await pool.AcquireAsync();
        Task<PoolLease<Resource>> late = pool.AcquireAsync().AsTask();
        await Eventually.TrueAsync(() =>
        {
            time.Advance(TimeSpan.FromSeconds(0.5));
            return late.IsCompleted;
        }, "the deadline");
        await Assert.ThrowsAsync<PoolRejectedException>(() => late);

        // A permit that has to be given back comes back with the lease.
        Task<PoolLease<Resource>> next = pool.AcquireAsync().AsTask();
        Assert.False(next.IsCompleted);
        lease.Dispose();
        (await next).Dispose();
        Assert.Equal(1, limiter.GetStatistics()!.CurrentAvailablePermits);
    }

    [Fact]
    public async Task Options_RateLimit_IsBuiltFromThem()
    {
        var options = new PoolOptions();
        options.RateLimit.PermitsPerSecond = 10;
        options.RateLimit.Burst = 3;
        long started = Stopwatch.GetTimestamp();
        await using var pool = new ResourcePool<Resource>("test", _factory, options);
        int granted = 0;
        PoolRejectedException? refused = null;
        while (refused is null)
        {
            try
            {
                (await pool.AcquireAsync()).Dispose();
                granted++;
            }
            catch (PoolRejectedException exception)
            {
                refused = exception;
            }
        }

        // The burst, and what came while it was used up: on a slow machine that takes a while.
        Assert.InRange(granted, 3, 3 + (10 * Stopwatch.GetElapsedTime(started).TotalSeconds));
        Assert.True(refused.RetryAfter > TimeSpan.Zero);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(101)]
    [InlineData(149)]
    [InlineData(150)]
    [InlineData(12_345)]
    [InlineData(10_000_000)]
    public void Replenishment_AnyRate_IsThatRateInWholeTokens(int permitsPerSecond)
    {
        (int tokens, TimeSpan period) = PoolAdmission.Replenishment(permitsPerSecond);
        Assert.Equal(permitsPerSecond, tokens / period.TotalSeconds, permitsPerSecond * 0.001);
        Assert.True(tokens >= 1 && period >= TimeSpan.FromMilliseconds(9.9));
    }

    [Fact]
    public async Task DrainAsync_CallersWaitForPermits_TheyAreRefusedAtOnce()
    {
        using var limiter = new ConcurrencyLimiter(new ConcurrencyLimiterOptions { PermitLimit = 1, QueueLimit = 1 });
        using RateLimitLease taken = limiter.AttemptAcquire();
        var pool = new ResourcePool<Resource>("test", _factory, new PoolOptions { AcquireTimeout = Timeout.InfiniteTimeSpan }, admission: new PoolAdmission(limiter));
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        await pool.DrainAsync();
        await Assert.ThrowsAsync<PoolClosedException>(() => waiting.WaitAsync(TimeSpan.FromMinutes(1)));
        await Assert.ThrowsAsync<PoolClosedException>(async () => await pool.AcquireAsync());
    }

    [Fact]
    public async Task DrainAsync_LimiterOfTheOptions_EndsWithThePool()
    {
        var options = new PoolOptions();
        options.RateLimit.PermitsPerSecond = 10;
        var pool = new ResourcePool<Resource>("test", _factory, options);
        (await pool.AcquireAsync()).Dispose();
        await pool.DrainAsync();
        await Assert.ThrowsAsync<PoolClosedException>(async () => await pool.AcquireAsync());
    }

    [Fact]
    public async Task AcquireAsync_DeadlineEndsTheWaitForAPermit_TellsWhenToComeBack()
    {
        var time = new ManualTimeProvider();
        using var limiter = new TokenBucketRateLimiter(new TokenBucketRateLimiterOptions { TokenLimit = 1, TokensPerPeriod = 1, ReplenishmentPeriod = TimeSpan.FromHours(1), AutoReplenishment = false, QueueLimit = 5 });
        var pool = new ResourcePool<Resource>("test", _factory, new PoolOptions { AcquireTimeout = TimeSpan.FromSeconds(2) }, time, admission: new PoolAdmission(limiter));
        (await pool.AcquireAsync()).Dispose();
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        await Eventually.TrueAsync(() =>
        {
            time.Advance(TimeSpan.FromSeconds(0.5));
            return waiting.IsCompleted;
        }, "the deadline");
        Assert.Equal(TimeSpan.FromHours(1), (await Assert.ThrowsAsync<PoolRejectedException>(() => waiting)).RetryAfter);
    }

    [Fact]
    public async Task AcquireAsync_RefusedWithItsStackTaken_TheNextCallerIsNotBlamedForIt()
    {
        using var limiter = new ConcurrencyLimiter(new ConcurrencyLimiterOptions { PermitLimit = 1, QueueLimit = 0 });
        await using var pool = new ResourcePool<Resource>("test", _factory, new PoolOptions { LeakStackSampling = 2 }, admission: new PoolAdmission(limiter));
        using (limiter.AttemptAcquire())
        {
            await Assert.ThrowsAsync<PoolRejectedException>(async () => await pool.AcquireAsync());
        }

        using PoolLease<Resource> lease = await pool.AcquireAsync();
        Assert.Null(Assert.Single(pool.Snapshot().Holders).Stack);
    }
}
