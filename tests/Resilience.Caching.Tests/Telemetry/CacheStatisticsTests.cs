using Resilience.Caching.Telemetry;

namespace Resilience.Caching.Tests.Telemetry;

/// <summary>Counting without atomic instructions loses nothing: a row has one writer at a time, and where rows run out they are shared atomically.</summary>
public sealed class CacheStatisticsTests
{
    [Fact]
    public void Add_MoreThreadsAtOnceThanThereAreRows_CountsEachExactly()
    {
        const int Each = 20_000;
        const int Threads = ThreadSlot.Count + 20;
        var statistics = new CacheStatistics();
        using var start = new Barrier(Threads);
        Run(Threads, _ =>
        {
            start.SignalAndWait(); // All are alive at once, so that some must share.
            for (int i = 0; i < Each; i++)
            {
                statistics.AddHit();
                statistics.Add(CacheCount.Joined, 2);
            }
        });
        Assert.Equal((Threads * (long)Each, Threads * 2L * Each), (statistics.Read(CacheCount.LocalHit), statistics.Read(CacheCount.Joined)));
        Assert.Equal(0, statistics.Read(CacheCount.SourceLoad));
    }

    [Fact]
    public void Add_ThreadsComeAndGo_RowsAreUsedAgainAndNothingIsLost()
    {
        var statistics = new CacheStatistics();
        var seen = new HashSet<int>();
        const int Generations = 12;
        for (int generation = 0; generation < Generations; generation++)
        {
            Run(16, _ =>
            {
                statistics.AddHit();
                lock (seen)
                {
                    seen.Add(ThreadSlot.Current);
                }
            });
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.Equal(16 * Generations, statistics.Read(CacheCount.LocalHit));
        Assert.InRange(seen.Count, 1, ThreadSlot.Count);
    }

    private static void Run(int threads, Action<int> work)
    {
        Thread[] all = [.. Enumerable.Range(0, threads).Select(index => new Thread(() => work(index)))];
        Array.ForEach(all, thread => thread.Start());
        Array.ForEach(all, thread => Assert.True(thread.Join(TimeSpan.FromSeconds(60))));
    }
}
