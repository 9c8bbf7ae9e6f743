using Resilience.TestKit;

namespace Resilience.Pools.Tests.Core;

/// <summary>Clears that follow one another, and clears of a pool that has shrunk.</summary>
public sealed class ClearTests
{
    [Fact]
    public async Task ClearAsync_PacedOneAfterOneAtOnce_WhatWasToGoAtOnceStillDoes()
    {
        await using var fixture = new PoolFixture();
        ResourcePool<Resource> pool = fixture.Make(new() { MaxSize = 2 });
        PoolLease<Resource>[] leases = [await pool.AcquireAsync(), await pool.AcquireAsync()];
        await pool.ClearAsync();
        Task paced = pool.ClearAsync(TimeSpan.FromHours(1));
        foreach (PoolLease<Resource> lease in leases)
        {
            lease.Dispose();
        }

        await Eventually.TrueAsync(() => fixture.Factory.Destroyed == 2, "the end of what the first clear has condemned");
        await Eventually.TrueAsync(() =>
        {
            fixture.Time.Advance(TimeSpan.FromSeconds(1));
            return paced.IsCompleted;
        }, "the paced clear, which has nothing left to do");
    }

    [Fact]
    public async Task ClearAsync_PacedAfterThePoolShrank_EndsWithinThePace()
    {
        await using var fixture = new PoolFixture();
        ResourcePool<Resource> pool = fixture.Make(new() { MaxSize = 8, IdleTimeout = Timeout.InfiniteTimeSpan });
        var leases = new List<PoolLease<Resource>>();
        for (int i = 0; i < 8; i++)
        {
            leases.Add(await pool.AcquireAsync());
        }

        // Those in the first places come back first and are too many: what stays lies in the last.
        pool.Resize(2);
        foreach (PoolLease<Resource> lease in leases.Take(6))
        {
            lease.Dispose();
        }

        await Eventually.TrueAsync(() => pool.Snapshot().Open == 2, "the smaller pool");
        leases[6].Dispose();
        leases[7].Dispose();
        Task clear = pool.ClearAsync(TimeSpan.FromSeconds(10));
        for (int second = 0; second < 10; second++)
        {
            fixture.Time.Advance(TimeSpan.FromSeconds(1));
        }

        await Eventually.TrueAsync(() => fixture.Factory.Destroyed == 8, "the end of all that were there");
        await Eventually.TrueAsync(() =>
        {
            fixture.Time.Advance(TimeSpan.FromSeconds(1));
            return clear.IsCompleted;
        }, "the clear");
    }

    [Theory]
    [InlineData(-5)]
    [InlineData(-0.5)]
    public void DrainAsync_NegativeTime_IsRefusedAndThePoolGoesOn(double seconds)
    {
        var pool = new ResourcePool<Resource>("test", new Factory());
        var keyed = new KeyedResourcePool<string, Resource>("keyed", _ => new Factory());
        Assert.Throws<ArgumentOutOfRangeException>(() => { _ = pool.DrainAsync(TimeSpan.FromSeconds(seconds)); });
        Assert.Throws<ArgumentOutOfRangeException>(() => { _ = keyed.DrainAsync(TimeSpan.FromSeconds(seconds)); });
        Assert.False(pool.Snapshot().IsClosed);
        Assert.False(keyed.Snapshot().IsClosed);
        pool.Dispose();
        keyed.Dispose();
    }

    [Fact]
    public async Task DrainAsync_LongerThanATimerLasts_WaitsForTheLease()
    {
        var pool = new ResourcePool<Resource>("test", new Factory());
        PoolLease<Resource> lease = await pool.AcquireAsync();
        Task<PoolDrainResult> drain = pool.DrainAsync(TimeSpan.MaxValue);
        lease.Dispose();
        Assert.Equal(new PoolDrainResult(1, 0, true), await drain);
    }
}
