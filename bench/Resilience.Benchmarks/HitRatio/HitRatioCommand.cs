using System.Globalization;
using Resilience.Caching.Local;
using Resilience.Caching.Local.S3Fifo;
using Resilience.Context;

namespace Resilience.Benchmarks.HitRatio;

/// <summary>
/// Prints the hit ratios of eviction policies on traces of real reads, as rows of <c>trace capacity policy hit_percent</c>, next to the
/// clairvoyant optimum.
/// </summary>
internal static class HitRatioCommand
{
    public const string Usage = """
          hitratio [FILE capacity ...]... [--threads N] [--policy NAME]
              hit ratios of LRU, OPT and the local tiers: on FILE (gzip of little-endian 32-bit keys) or on ../shared/data/traces where
              present, and on a Zipf trace without and with a scan; with threads, the tiers are read by so many at once
          hitratio --pauses [--threads N]
              how long single reads and writes take at most, as a histogram, next to those of a bare dictionary
          hitratio --memory
              bytes per entry of the local tiers and of a bare dictionary, beside key and entry
        """;

    private const int ZipfCapacity = 10_000;
    private const int ReadsPerTurn = 64;

    public static int Run(string[] arguments)
    {
        try
        {
            HitRatioOptions options = HitRatioOptions.Parse(arguments);
            if (options.Pauses)
            {
                PauseHistogram.Print(options.Threads);
            }
            else if (options.Memory)
            {
                MemoryPerEntry.Print();
            }
            else
            {
                PrintRatios(options);
            }

            return 0;
        }
        catch (Exception exception) when (exception is ArgumentException or IOException or InvalidDataException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine(exception.Message);
            return 2;
        }
    }

    private static void PrintRatios(HitRatioOptions options)
    {
        Console.Out.WriteLine("trace\tcapacity\tpolicy\thit_percent");
        foreach (Trace trace in options.Files.Count > 0 ? options.Files.Select(file => Trace.Read(file.File, file.Capacities)) : FromFolder())
        {
            Print(trace, options.Threads, options.Policy);
        }
    }

    private static IEnumerable<Trace> FromFolder()
    {
        if (FindTraces() is { } folder)
        {
            yield return Trace.Read(Path.Combine(folder, "web07.bin.gz"), 75, 300, 1_200, 2_000);
            yield return Trace.Read(Path.Combine(folder, "orm-busy.bin.gz"), 500, 1_000, 2_500, 5_000);
            yield return Trace.Read(Path.Combine(folder, "scarab-recs.bin.gz"), 2_500, 10_000, 25_000, 100_000);
        }

        yield return Trace.Zipf(ZipfCapacity);
        yield return Trace.ZipfWithScan(ZipfCapacity);
    }

    private static string? FindTraces()
    {
        for (DirectoryInfo? at = new(Environment.CurrentDirectory); at is not null; at = at.Parent)
        {
            string folder = Path.Combine(at.FullName, "shared", "data", "traces");
            if (Directory.Exists(folder))
            {
                return folder;
            }
        }

        return null;
    }

    private static void Print(Trace trace, int threads, string? only)
    {
        string[] names = [.. Enumerable.Range(0, trace.Keys.Max() + 1).Select(key => $"key:{key}")];
        int judged = trace.Keys.Count(key => key < trace.Judged);
        foreach (int capacity in trace.Capacities)
        {
            Row("LRU", () => Measure(trace, () => new LruPolicy(capacity), 1));
            Row("OPT", () => Belady.Hits(trace.Keys, capacity, trace.Judged));
            Row("MemoryCacheTier", () => Measure(trace, () => new TierPolicy(new MemoryCacheTier(new LocalTierOptions { SizeLimit = capacity }, new CoarseClock(TimeProvider.System)), names), threads));
            Row("S3FifoTier", () => Measure(trace, () => new TierPolicy(new S3FifoTier(capacity, TimeProvider.System), names), threads));

            void Row(string policy, Func<long> hits)
            {
                if (only is null || only == policy)
                {
                    Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{trace.Name}\t{capacity}\t{policy}\t{100.0 * hits() / judged:F2}"));
                }
            }
        }
    }

    private static long Measure(Trace trace, Func<IPolicy> create, int threads)
    {
        using IPolicy policy = create();
        int next = 0;
        long hits = 0;
        void Work()
        {
            long own = 0;
            int from;
            while ((from = Interlocked.Add(ref next, ReadsPerTurn) - ReadsPerTurn) < trace.Keys.Length)
            {
                foreach (int key in trace.Keys.AsSpan(from, Math.Min(ReadsPerTurn, trace.Keys.Length - from)))
                {
                    own += policy.Read(key) && key < trace.Judged ? 1 : 0;
                }
            }

            Interlocked.Add(ref hits, own);
        }

        Thread[] workers = [.. Enumerable.Range(0, threads).Select(_ => new Thread(Work))];
        Array.ForEach(workers, worker => worker.Start());
        Array.ForEach(workers, worker => worker.Join());
        return hits;
    }
}
