using Resilience.TestKit;

namespace Resilience.Pools.Tests.Core;

/// <summary>Counts what the whole process allocates, so nothing else may run meanwhile.</summary>
[CollectionDefinition(nameof(HandOffTests), DisableParallelization = true)]
[Collection(nameof(HandOffTests))]
public sealed class HandOffTests
{
    [Fact]
    public async Task AcquireAndReturn_ParkedHandOff_AllocatesNothing()
    {
        await using var pool = new ResourcePool<Resource>("test", new Factory(), new PoolOptions { MaxSize = 1, AcquireTimeout = TimeSpan.FromHours(1), LeakThreshold = Timeout.InfiniteTimeSpan });
        double bytes = await AllocationAssert.ProcessBytesPerOperationAsync(async operations =>
        {
            // On the thread pool: the test's own synchronisation context allocates for each continuation.
            await Task.WhenAll(Task.Run(() => TurnAsync(operations / 2)), Task.Run(() => TurnAsync(operations / 2)));

            async Task TurnAsync(int turns)
            {
                for (int i = 0; i < turns; i++)
                {
                    PoolLease<Resource> lease = await pool.AcquireAsync();
                    await Task.Yield();
                    lease.Dispose();
                }
            }
        }, 200_000);
        Assert.True(bytes < 1, $"a hand-off allocates {bytes:0.00} B");
    }
}
