namespace Resilience.Pools.Tests.Waiting;

/// <summary>A flow that waits for what it holds itself.</summary>
public sealed class NestedAcquireTests : IAsyncDisposable
{
    private readonly PoolFixture _pools = new();

    public ValueTask DisposeAsync() => _pools.DisposeAsync();

    [Fact]
    public async Task AcquireAsync_NestedInOneFlow_IsNamedAsTheDeadlock()
    {
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 1, DetectNestedAcquire = true, AcquireTimeout = TimeSpan.FromSeconds(1) });
        PoolLease<Resource> outer = await pool.AcquireAsync();
        Task<PoolLease<Resource>> inner = pool.AcquireAsync().AsTask();
        _pools.Time.Advance(TimeSpan.FromSeconds(2));
        PoolExhaustedException exception = await Assert.ThrowsAsync<PoolExhaustedException>(() => inner);
        Assert.True(exception.IsNestedAcquire);
        Assert.Contains("waits for itself", exception.Message, StringComparison.Ordinal);
        outer.Dispose();

        PoolLease<Resource> alone = await pool.AcquireAsync();
        Task<PoolLease<Resource>>? stranger = null;
        await RunInCleanContextAsync(() => stranger = pool.AcquireAsync().AsTask());
        _pools.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.False((await Assert.ThrowsAsync<PoolExhaustedException>(() => stranger!)).IsNestedAcquire);
        alone.Dispose();
    }

    [Fact]
    public async Task AcquireAsync_NestedInProduction_IsNamedFromTheSecondExhaustionOn()
    {
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 1, AcquireTimeout = TimeSpan.FromSeconds(1), LeakThreshold = Timeout.InfiniteTimeSpan });
        Assert.False(await IsNamedAsync());
        Assert.True(await IsNamedAsync());

        // Looking for it costs; it ends when there was no exhaustion for a while.
        for (int i = 0; i < 200; i++)
        {
            _pools.Time.Advance(TimeSpan.FromSeconds(0.5));
        }

        Assert.False(await IsNamedAsync());

        async Task<bool> IsNamedAsync()
        {
            PoolLease<Resource> outer = await pool.AcquireAsync();
            Task<PoolLease<Resource>> inner = pool.AcquireAsync().AsTask();
            _pools.Time.Advance(TimeSpan.FromSeconds(2));
            PoolExhaustedException exception = await Assert.ThrowsAsync<PoolExhaustedException>(() => inner);
            outer.Dispose();
            return exception.IsNestedAcquire;
        }
    }

    private static Task RunInCleanContextAsync(Action action)
    {
        using (ExecutionContext.SuppressFlow())
        {
            return Task.Run(action);
        }
    }
}
