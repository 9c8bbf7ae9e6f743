using System.Collections.Concurrent;
using Resilience.TestKit;

namespace Resilience.Integration.Tests.TestKit;

public sealed class StressRunnerTests
{
    [Fact]
    public void Run_SameSeed_DrawsTheSamePerWorkerAndNotAcrossWorkers()
    {
        int[][] first = Draw(seed: 42), second = Draw(seed: 42), other = Draw(seed: 43);

        Assert.Equal(first, second);
        Assert.NotEqual(first, other);
        Assert.Equal(4, first.Select(draws => string.Join(',', draws)).Distinct().Count());
    }

    [Fact]
    public void Run_WorkerThrows_StopsAllAndNamesSeedWorkerAndIteration()
    {
        var runner = new StressRunner { Seed = 7, Duration = TimeSpan.FromMinutes(1) };

        var failure = Assert.Throws<StressFailedException>(() => runner.Run(worker =>
        {
            if (worker is { Index: 2, Iteration: 10 })
            {
                throw new InvalidOperationException("broken");
            }
        }));

        Assert.Equal(7, failure.Seed);
        Assert.Equal("Worker 2 failed in iteration 10: broken Replay with STRESS_SEED=7.", failure.Message);
        Assert.IsType<InvalidOperationException>(failure.InnerException);
    }

    [Fact]
    public async Task RunAsync_InvariantBroken_FailsWithSeed()
    {
        int iterations = 0;
        var runner = new StressRunner { Seed = 3, MaxIterations = 5, Duration = TimeSpan.FromMinutes(1) };

        var failure = await Assert.ThrowsAsync<StressFailedException>(() => runner.RunAsync(
            async _ =>
            {
                await Task.Yield();
                Interlocked.Increment(ref iterations);
            },
            () => Assert.Equal(-1, iterations)));

        Assert.Equal(20, iterations);
        Assert.Contains("STRESS_SEED=3", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Run_WorkerHangs_IsReported()
    {
        using var never = new ManualResetEventSlim();
        var runner = new StressRunner { Workers = 2, Duration = TimeSpan.FromMilliseconds(20), Grace = TimeSpan.FromMilliseconds(50) };

        var failure = Assert.Throws<StressFailedException>(() => runner.Run(worker =>
        {
            if (worker.Index == 1)
            {
                never.Wait();
            }
        }));

        never.Set();
        Assert.Matches("^Workers .*1 \\(iteration 0\\) did not end", failure.Message); // the other one may not have had the time either
    }

    private static int[][] Draw(int seed)
    {
        var draws = new ConcurrentDictionary<int, List<int>>();
        new StressRunner { Seed = seed, MaxIterations = 3, Duration = TimeSpan.FromMinutes(1) }.Run(worker => draws.GetOrAdd(worker.Index, _ => []).Add(worker.Random.Next()));
        return [.. draws.OrderBy(pair => pair.Key).Select(pair => pair.Value.ToArray())];
    }
}
