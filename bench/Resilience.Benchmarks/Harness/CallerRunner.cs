using System.Diagnostics;

namespace Resilience.Benchmarks.Harness;

/// <summary>Runs an asynchronous case: so many callers on the thread pool, which share a batch's operations and are counted as a whole.</summary>
internal sealed class CallerRunner : ICaseRunner
{
    private readonly Func<int, Task>[] _loops;

    public CallerRunner(CompareCase @case) =>
        _loops = [.. Enumerable.Range(0, @case.Threads).Select(index => @case.Asynchronous!(index))];

    public Batch Run(int operations)
    {
        int each = Math.Max(1, operations / _loops.Length);
        var tasks = new Task[_loops.Length];
        long before = GC.GetTotalAllocatedBytes(precise: true);
        TimeSpan cpu = Environment.CpuUsage.TotalTime;
        long started = Stopwatch.GetTimestamp();
        for (int i = 0; i < tasks.Length; i++)
        {
            Func<int, Task> loop = _loops[i];
            tasks[i] = Task.Run(() => loop(each));
        }

        Task.WhenAll(tasks).GetAwaiter().GetResult();
        double wall = Stopwatch.GetElapsedTime(started).TotalSeconds;
        double cpuSeconds = (Environment.CpuUsage.TotalTime - cpu).TotalSeconds;
        return new Batch(wall, cpuSeconds, GC.GetTotalAllocatedBytes(precise: true) - before, (long)each * _loops.Length, Disturbed: false);
    }

    public double Nanoseconds(Batch batch) => batch.WallSeconds * 1e9 / batch.Operations;

    public void Dispose()
    {
    }
}
