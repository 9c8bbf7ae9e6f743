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
        await using var pool = new ResourcePool<Resource>("test", _factory, options);
        for (int i = 0; i < 3; i++)
        {
            (await pool.AcquireAsync()).Dispose();
        }

        PoolRejectedException exception = await Assert.ThrowsAsync<PoolRejectedException>(async () => await pool.AcquireAsync());
        Assert.True(exception.RetryAfter > TimeSpan.Zero);
    }
}
