using System.Diagnostics.Metrics;
using System.Threading.RateLimiting;
using Resilience.TestKit;

namespace Resilience.Pools.Tests.Admission;

/// <summary>Waits for a permit: how they end, and that no permit is lost.</summary>
public sealed class AdmissionWaitTests
{
    private static ConcurrencyLimiter One() => new(new ConcurrencyLimiterOptions { PermitLimit = 1, QueueLimit = 10 });

    [Fact]
    public async Task AcquireAsync_TokenIsCancelledWhileWaitingForAPermit_SaysWhoseToken()
    {
        using ConcurrencyLimiter limiter = One();
        await using var pool = new ResourcePool<Resource>("test", new Factory(), admission: new PoolAdmission(limiter));
        using PoolLease<Resource> lease = await pool.AcquireAsync();
        using var mine = new CancellationTokenSource();
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync(mine.Token).AsTask();
        await mine.CancelAsync();
        OperationCanceledException exception = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        Assert.Equal(mine.Token, exception.CancellationToken);
    }

    [Fact]
    public async Task AcquireAsync_LongerThanATimerLasts_WaitsForThePermit()
    {
        using ConcurrencyLimiter limiter = One();
        await using var pool = new ResourcePool<Resource>("test", new Factory(), admission: new PoolAdmission(limiter));
        PoolLease<Resource> lease = await pool.AcquireAsync();
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync(new PoolRequest { Timeout = TimeSpan.MaxValue }).AsTask();
        Assert.False(waiting.IsFaulted, waiting.Exception?.ToString());
        lease.Dispose();
        (await waiting).Dispose();
    }

    /// <summary>
    /// A lease may be taken away from whoever just got it before its permit is noted: by a drain that is out of patience. The limiter may stand in front of
    /// other pools too, and must get its permit back.
    /// </summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task AcquireAsync_LeaseIsTakenAwayAtOnce_ThePermitComesBack(bool tries)
    {
        using ConcurrencyLimiter limiter = One();
        var time = new InterruptedTime();
        var pool = new ResourcePool<Resource>("taken-away", new Factory(), new PoolOptions { MaxSize = 1 }, time, admission: new PoolAdmission(limiter));
        (await pool.AcquireAsync()).Dispose();
        using var listener = new MeterListener();
        listener.InstrumentPublished = static (instrument, listening) =>
        {
            if (instrument.Name == "resilience.pool.use_time")
            {
                listening.EnableMeasurementEvents(instrument);
            }
        };
        listener.Start();

        // The precise start of a lease is read right after it was taken, by whoever took it; the pool's upkeep reads the clock too.
        Task<PoolDrainResult>? drain = null;
        int thread = Environment.CurrentManagedThreadId;
        time.OnTimestamp = () =>
        {
            if (Environment.CurrentManagedThreadId != thread)
            {
                return;
            }

            Action again = time.OnTimestamp!;
            time.OnTimestamp = null;
            if (pool.Occupancy.Leased == 0)
            {
                time.OnTimestamp = again;
                return;
            }

            drain = pool.DrainAsync(TimeSpan.FromMinutes(1), new CancellationToken(canceled: true));
            SpinWait.SpinUntil(() => pool.Occupancy.Leased == 0);
        };
        PoolLease<Resource> lease = default;
        if (tries)
        {
            Assert.True(pool.TryAcquire(out lease));
        }
        else
        {
            lease = await pool.AcquireAsync();
        }

        Assert.NotNull(drain);
        Assert.False(lease.IsValid);
        lease.Dispose();
        await drain;
        Assert.Equal(1, limiter.GetStatistics()!.CurrentAvailablePermits);
    }

    private sealed class InterruptedTime : TimeProvider
    {
        public Action? OnTimestamp { get; set; }

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp()
        {
            OnTimestamp?.Invoke();
            return Environment.TickCount64 * TimeSpan.TicksPerMillisecond;
        }
    }
}
