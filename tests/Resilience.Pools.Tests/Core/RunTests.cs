using Resilience.TestKit;

namespace Resilience.Pools.Tests.Core;

/// <summary>The forms of use that cannot leak.</summary>
public sealed class RunTests : IAsyncDisposable
{
    private readonly PoolFixture _pools = new();

    public ValueTask DisposeAsync() => _pools.DisposeAsync();

    [Fact]
    public async Task RunAsync_ActionThrows_ReturnsAndDestroysWhatIsBroken()
    {
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 2 });
        Resource? seen = null;
        await Assert.ThrowsAsync<IOException>(async () => await pool.RunAsync((resource, _, _) =>
        {
            seen = resource;
            return Task.FromException(new IOException());
        }, 0));
        await Eventually.TrueAsync(() => seen!.IsDestroyed, "the broken resource's end");
        Assert.Equal(7, await pool.RunAsync(static (_, state, _) => ValueTask.FromResult(state + 2), 5));
        Assert.Equal((0, 1), (pool.Snapshot().Leased, pool.Snapshot().Idle));
    }

    [Fact]
    public async Task RunAsync_ActionIsCancelled_KeepsTheResource()
    {
        ResourcePool<Resource> pool = _pools.Make();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await pool.RunAsync(static (_, _, _) => throw new OperationCanceledException(), 0));
        Assert.Equal(1, pool.Snapshot().Idle);
    }
}
