using System.Collections.Concurrent;
using Microsoft.Extensions.Logging.Abstractions;
using Resilience.Caching.Guard;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Guard;

/// <summary>The law: a key whose <c>AddAsync</c> completed before its row was committed is never refused.</summary>
public class GuardLawTests
{
    [Fact]
    public async Task OneProcess_InsertsAndRebuildsAtOnce_NoCommittedKeyIsRefused()
    {
        long steps = Environment.GetEnvironmentVariable("NIGHTLY") == "1" ? 100_000_000 : 1_000_000;
        var rows = new ConcurrentDictionary<string, bool>(StringComparer.Ordinal);
        var committed = new ConcurrentQueue<string>();
        var options = new GuardOptions { ExpectedKeys = 2_000, FalsePositiveRate = 0.01, AuditShare = 0 };
        var source = new RowSource(rows);
        await using var guard = new BloomGuard("law", options, source, null, TimeProvider.System, NullLogger.Instance);
        await guard.RebuildAsync();
        using var ending = new CancellationTokenSource();
        Task rebuilding = Task.Run(async () =>
        {
            // On a slow machine the inserts may be through after a few rebuilds; the law wants several behind it.
            while (!ending.IsCancellationRequested || guard.GetStatistics().Rebuilds <= 5)
            {
                await guard.RebuildAsync();
            }
        });
        int next = 0;
        const int Workers = 3;
        long iterations = new StressRunner { Workers = Workers, Duration = TimeSpan.FromHours(1), MaxIterations = (steps / 1_000 / Workers) + 1 }.Run(worker =>
        {
            string key = $"key:{Interlocked.Increment(ref next)}";
            Assert.True(guard.AddAsync(key).IsCompleted);
            if (worker.Random.Next(4) == 0)
            {
                Thread.Yield(); // a snapshot may begin between the addition and the commit
            }

            rows[key] = true;
            committed.Enqueue(key);
            for (int i = 0; i < 999; i++)
            {
                key = $"key:{worker.Random.Next(1, next + 1)}";
                if (rows.ContainsKey(key))
                {
                    Assert.True(guard.MayExist(key), "a committed key was refused");
                }
            }
        });
        await ending.CancelAsync();
        await rebuilding;
        Assert.True(iterations * 1_000 >= steps, $"only {iterations * 1_000} of {steps} steps in the time that there was");
        Assert.DoesNotContain(committed, key => !guard.MayExist(key));
        Assert.True(guard.GetStatistics().Rebuilds > 5);
        Assert.False(guard.MayExist("invented") && guard.MayExist("invented too") && guard.MayExist("and a third"));
    }

    private sealed class RowSource(ConcurrentDictionary<string, bool> rows) : IGuardSource
    {
        public async IAsyncEnumerable<string> ReadKeysAsync([System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
        {
            string[] snapshot = [.. rows.Keys]; // what commits from here on is not in it
            await Task.Yield();
            foreach (string key in snapshot)
            {
                yield return key;
            }
        }
    }
}
