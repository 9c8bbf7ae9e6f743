using System.Threading.RateLimiting;
using Resilience.TestKit;

namespace Resilience.Degrade.Tests.Limits;

public sealed class ConcurrencyLimitTests
{
    public static TheoryData<string> All => new("gradient2", "vegas", "aimd");

    [Theory]
    [MemberData(nameof(All))]
    public void Update_FastAndFull_Grows(string name)
    {
        IConcurrencyLimit limit = Make(name);
        int before = limit.Limit;
        for (int i = 0; i < 50; i++)
        {
            limit.Update(new LimitSample(10, 10, limit.Limit, false));
        }

        Assert.True(limit.Limit > before);
    }

    [Theory]
    [MemberData(nameof(All))]
    public void Update_NotUsed_DoesNotGrow(string name)
    {
        IConcurrencyLimit limit = Make(name);
        int before = limit.Limit;
        for (int i = 0; i < 50; i++)
        {
            limit.Update(new LimitSample(10, 10, 1, false));
        }

        Assert.Equal(before, limit.Limit);
    }

    [Theory]
    [MemberData(nameof(All))]
    public void Update_Drops_FallsToTheLeast(string name)
    {
        IConcurrencyLimit limit = Make(name);
        for (int i = 0; i < 200; i++)
        {
            limit.Update(new LimitSample(10, 10, limit.Limit, true));
        }

        Assert.InRange(limit.Limit, 1, 10);
    }

    /// <summary>A server with 20 places: beyond them calls wait. The limit settles near the places whatever it began with.</summary>
    [Theory]
    [InlineData("gradient2", 15, 80)]
    [InlineData("vegas", 15, 45)]
    public void Update_ServerWithTwentyPlaces_SettlesNearThem(string name, int least, int most)
    {
        IConcurrencyLimit limit = Make(name);
        for (int i = 0; i < 600; i++)
        {
            double rtt = 10 * Math.Max(1, limit.Limit / 20.0);
            limit.Update(new LimitSample(rtt, rtt, limit.Limit, false));
        }

        Assert.InRange(limit.Limit, least, most);
    }

    /// <summary>concurrency-limits issue 137: a backend that answers nothing but a steady timeout must not teach a rising limit.</summary>
    [Fact]
    public void Gradient2_SteadyTimeouts_DoNotDrift()
    {
        var limit = new Gradient2Limit();
        for (int i = 0; i < 50; i++)
        {
            limit.Update(new LimitSample(10, 10, limit.Limit, false));
        }

        for (int i = 0; i < 10_000; i++)
        {
            limit.Update(new LimitSample(1_000, 1_000, limit.Limit, false));
        }

        Assert.InRange(limit.Limit, 4, 20);
    }

    [Fact]
    public void Limiter_FullOrReleased_CountsExactly()
    {
        var limiter = new AdaptiveConcurrencyLimiter(new AimdLimit(initial: 3));
        AdaptiveLease[] leases = [.. Enumerable.Range(0, 3).Select(_ => limiter.TryAcquire(out AdaptiveLease? lease) ? lease : throw new InvalidOperationException())];
        Assert.False(limiter.AttemptAcquire().IsAcquired);
        Assert.Equal(0, limiter.GetStatistics()!.CurrentAvailablePermits);
        foreach (AdaptiveLease lease in leases)
        {
            lease.Report(LimitOutcome.Ignore);
            lease.Dispose();
            lease.Dispose();
        }

        Assert.Equal(0, limiter.Inflight);
    }

    [Fact]
    public void Limiter_ReportsDrops_TheLimitFallsAtTheEndOfTheWindow()
    {
        var time = new ManualTimeProvider();
        var limiter = new AdaptiveConcurrencyLimiter(new AimdLimit(initial: 50), TimeSpan.FromSeconds(1), time);
        for (int i = 0; i < 20; i++)
        {
            Assert.True(limiter.TryAcquire(out AdaptiveLease? lease));
            time.Advance(TimeSpan.FromMilliseconds(100));
            lease.Report(LimitOutcome.Drop);
        }

        Assert.InRange(limiter.Limit, 30, 49);
    }

    [Fact]
    public void Limiter_Stress_NobodyIsLeftInside()
    {
        var limiter = new AdaptiveConcurrencyLimiter(new AimdLimit(initial: 5), TimeSpan.FromMilliseconds(10));
        new StressRunner { Workers = 4 }.Run(worker =>
        {
            if (limiter.TryAcquire(out AdaptiveLease? lease))
            {
                Assert.InRange(limiter.Inflight, 1, 300);
                lease.Report((LimitOutcome)(worker.Iteration % 3));
                lease.Dispose();
            }
        });
        Assert.Equal(0, limiter.Inflight);
    }

    [Fact]
    public void Bucket_Rate_FollowsPressureAndLiveChanges()
    {
        var time = new ManualTimeProvider();
        double pressure = 0;
        var bucket = new ModulatedTokenBucket(100, 50, () => pressure, time);
        Assert.Equal(50, Drain(bucket));
        time.Advance(TimeSpan.FromSeconds(0.1));
        Assert.Equal(10, Drain(bucket));
        pressure = 0.875; // half way between full and nothing
        time.Advance(TimeSpan.FromSeconds(0.1));
        Assert.Equal(5, Drain(bucket));
        pressure = 1;
        time.Advance(TimeSpan.FromSeconds(0.1));
        Assert.Equal(1, Drain(bucket));
        using RateLimitLease refused = bucket.AttemptAcquire();
        Assert.True(refused.TryGetMetadata(MetadataName.RetryAfter, out TimeSpan after));
        Assert.InRange(after.TotalMilliseconds, 99, 101);
        pressure = 0;
        bucket.PermitsPerSecond = 1_000;
        time.Advance(TimeSpan.FromSeconds(0.01));
        Assert.Equal(10, Drain(bucket));
    }

    [Fact]
    public void Bucket_LongPause_HoldsNoMoreThanItsBurst()
    {
        var time = new ManualTimeProvider();
        var bucket = new ModulatedTokenBucket(100, 5, () => 0, time);
        time.Advance(TimeSpan.FromHours(1));
        Assert.Equal(5, Drain(bucket));
        AllocationAssert.AtMost(0, () =>
        {
            time.Advance(TimeSpan.FromMilliseconds(10));
            bucket.AttemptAcquire().Dispose();
        });
    }

    [Fact]
    public void Bucket_BurstChangedLive_HoldsAtOnce()
    {
        var time = new ManualTimeProvider();
        var bucket = new ModulatedTokenBucket(100, 50, () => 0, time) { Burst = 5 };
        Assert.Equal(5, Drain(bucket));
        bucket.Burst = 20;
        time.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal(20, Drain(bucket));
        Assert.False(bucket.AttemptAcquire(0).IsAcquired); // asks whether there is one
        Assert.Throws<ArgumentOutOfRangeException>(() => bucket.Burst = 0);
    }

    /// <summary>What keeps a bucket per caller lets go of those that were full for long: one that never says so is kept for ever.</summary>
    [Fact]
    public void Bucket_IdleDuration_CountsFromWhenItWasFull()
    {
        var time = new ManualTimeProvider();
        var bucket = new ModulatedTokenBucket(100, 50, () => 0, time);
        time.Advance(TimeSpan.FromSeconds(7));
        Assert.Equal(7, bucket.IdleDuration!.Value.TotalSeconds, 3);
        Assert.Equal(50, Drain(bucket));
        Assert.Null(bucket.IdleDuration);
        time.Advance(TimeSpan.FromSeconds(0.4));
        Assert.Null(bucket.IdleDuration);
        time.Advance(TimeSpan.FromSeconds(2.1)); // full after half a second
        Assert.Equal(2, bucket.IdleDuration!.Value.TotalSeconds, 3);
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(3, bucket.IdleDuration!.Value.TotalSeconds, 3);
        bucket.Burst = 60;
        Assert.Null(bucket.IdleDuration);
        bucket.Burst = 10;
        Assert.NotNull(bucket.IdleDuration);
        bucket.AttemptAcquire().Dispose();
        Assert.Null(bucket.IdleDuration);
    }

    private static int Drain(RateLimiter limiter)
    {
        int permits = 0;
        while (limiter.AttemptAcquire().IsAcquired)
        {
            permits++;
        }

        return permits;
    }

    private static IConcurrencyLimit Make(string name) => name switch
    {
        "gradient2" => new Gradient2Limit(),
        "vegas" => new VegasLimit(),
        _ => new AimdLimit(),
    };
}
