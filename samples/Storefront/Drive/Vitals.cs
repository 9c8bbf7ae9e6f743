using System.Diagnostics;
using System.Globalization;
using Resilience.Context;
using Resilience.Pools;
using Storefront.Orders;

namespace Storefront.Drive;

/// <summary>What a leak would show in: memory, handles, threads, and everything that is lent or begun and has to come back.</summary>
internal readonly record struct Vitals(double HeapMegabytes, int Handles, int Threads, int Open, int Leased, int Waiting, int Scopes, long Queued)
{
    /// <summary>The words that scripts read.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"heap_mb={HeapMegabytes:0.0} handles={Handles} threads={Threads} open={Open} leased={Leased} waiting={Waiting} scopes={Scopes} queued={Queued}");
}

/// <summary>Takes the vitals of this process.</summary>
internal sealed class VitalsReader(IEnumerable<IResourcePool> pools, BackgroundWorkQueue queue, [FromKeyedServices("audit")] BatchWriter<AuditEntry> audit)
{
    private static readonly TimeSpan LongestRest = TimeSpan.FromSeconds(20);

    /// <summary>As they are in the middle of things; the heap is what is allocated, not what is live.</summary>
    public Vitals Read() => Read(GC.GetTotalMemory(forceFullCollection: false));

    /// <summary>
    /// As they are at rest: waits until nothing is lent, begun or queued any more and idle threads have ended, and collects all garbage.
    /// What does not come to rest is in the figures.
    /// </summary>
    /// <param name="idle">How long nothing must have changed; the runtime's threads take 20 seconds to end.</param>
    public async Task<Vitals> RestAsync(TimeSpan idle)
    {
        long start = Stopwatch.GetTimestamp();
        while (Read() is not { Leased: 0, Waiting: 0, Scopes: 0, Queued: 0 } && Stopwatch.GetElapsedTime(start) < LongestRest)
        {
            await Task.Delay(50);
        }

        await Task.Delay(idle);
        for (int i = 0; i < 3; i++)
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: true, compacting: true);
            GC.WaitForPendingFinalizers();
        }

        return Read(GC.GetTotalMemory(forceFullCollection: true));
    }

    /// <summary>Without the files of assemblies, where they can be told apart: those that only an error path needs are loaded when it is first gone.</summary>
    private static int CountHandles() => OperatingSystem.IsLinux()
        ? Directory.GetFiles("/proc/self/fd").Count(IsOpenAndNoAssembly)
        : Process.GetCurrentProcess().HandleCount;

    private static bool IsOpenAndNoAssembly(string handle)
    {
        try
        {
            return File.ResolveLinkTarget(handle, returnFinalTarget: false)?.Extension != ".dll";
        }
        catch (IOException)
        {
            return false; // It was closed since it was listed.
        }
    }

    private Vitals Read(long heap)
    {
        PoolSnapshot[] all = [.. pools.Select(static pool => pool.Snapshot())];
        using var process = Process.GetCurrentProcess();
        return new Vitals(
            heap / 1e6,
            CountHandles(),
            process.Threads.Count,
            all.Sum(static pool => pool.Open),
            all.Sum(static pool => pool.Leased),
            all.Sum(static pool => pool.Waiting),
            ScopeMonitor.Default.Leaks?.Live ?? 0,
            queue.Accepted - queue.Run - queue.Abandoned + audit.Queued);
    }
}
