using Resilience.TestKit;

namespace Resilience.Pools.Tests.Keyed;

/// <summary>What makes the factory of a key's resources may itself fail.</summary>
public sealed class KeyedFactoryTests
{
    [Fact]
    public async Task AcquireAsync_MakingTheKeysFactoryFailedOnce_TheNextCallerTriesAnew()
    {
        var time = new ManualTimeProvider();
        var factory = new Factory();
        int attempts = 0;
        await using var pool = new KeyedResourcePool<string, Resource>(
            "keyed", _ => ++attempts == 1 ? throw new IOException("no such host yet") : factory, new KeyedPoolOptions { KeyIdleTimeout = TimeSpan.FromSeconds(60) }, time);
        await Assert.ThrowsAsync<IOException>(async () => await pool.AcquireAsync("a"));
        (await pool.AcquireAsync("a")).Dispose();
        Assert.Equal(2, attempts);
    }

    /// <summary>What a timer throws ends the process, and what a snapshot throws blinds the dashboard and the metrics of all keys.</summary>
    [Fact]
    public async Task Upkeep_MakingAKeysFactoryFails_OtherKeysAreNotConcerned()
    {
        var time = new ManualTimeProvider();
        var factory = new Factory();
        await using var pool = new KeyedResourcePool<string, Resource>(
            "keyed", key => key == "bad" ? throw new IOException("no such host") : factory, new KeyedPoolOptions { KeyIdleTimeout = TimeSpan.FromSeconds(60) }, time);
        (await pool.AcquireAsync("good")).Dispose();
        await Assert.ThrowsAsync<IOException>(async () => await pool.AcquireAsync("bad"));
        Assert.Equal(1, pool.KeyCount);
        Assert.Equal(1, pool.Snapshot().Idle);
        Assert.Equal(0, pool.Occupancy.Leased);
        pool.YieldsToPriority = true;
        await pool.ClearAsync();
        await Eventually.TrueAsync(() =>
        {
            time.Advance(TimeSpan.FromSeconds(60));
            return pool.KeyCount == 0;
        }, "the end of the key that nobody uses");
    }

    /// <summary>A key that has gone wants nothing: nobody must give up a resource for it, and it must not be remembered.</summary>
    [Fact]
    public void Leave_MemberThatWantedAPlace_WantsNoneAnyMore()
    {
        var bound = new SharedBound(1);
        var holder = new BoundMember();
        var gone = new BoundMember();
        bound.Join(holder);
        bound.Join(gone);
        Assert.True(bound.TryTake(holder));
        Assert.False(bound.TryTake(gone));
        Assert.True(bound.IsWanted);
        bound.Leave(gone);
        Assert.False(bound.IsWanted);
        bound.Release();
        Assert.Equal(0, gone.Retries);
    }

    private sealed class BoundMember : IBoundMember
    {
        public int Retries { get; private set; }

        public int Open => 0;

        public bool CanUseOne => true;

        public void Retry() => Retries++;

        public bool TryGiveUpIdle() => false;
    }
}
