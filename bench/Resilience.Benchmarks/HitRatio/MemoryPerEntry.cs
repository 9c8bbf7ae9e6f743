using System.Collections.Concurrent;
using System.Globalization;
using Resilience.Caching.Local;
using Resilience.Caching.Local.S3Fifo;
using Resilience.Context;

namespace Resilience.Benchmarks.HitRatio;

/// <summary>
/// What a tier takes for an entry beside the entry itself and its key: the live heap of a tier that has been full for a while, with
/// hits, misses and evictions behind it, divided by the entries that it holds.
/// </summary>
internal static class MemoryPerEntry
{
    public static void Print()
    {
        Console.Out.WriteLine("entries\tengine\theld\tbytes_per_entry");
        foreach (int capacity in new[] { 10_000, 100_000, 1_000_000 })
        {
            Row(capacity, "ConcurrentDictionary", () =>
            {
                var dictionary = new ConcurrentDictionary<string, LocalEntry>(StringComparer.Ordinal);
                return (dictionary, key => dictionary.ContainsKey(key), (key, entry) => dictionary[key] = entry, () => dictionary.Count);
            }, keys: capacity);
            Row(capacity, "S3FifoTier", () => Of(new S3FifoTier(capacity, TimeProvider.System)), capacity * 3);
            Row(capacity, "MemoryCacheTier", () => Of(new MemoryCacheTier(new LocalTierOptions { SizeLimit = capacity }, new CoarseClock(TimeProvider.System))), capacity * 3);
        }
    }

    private static (object, Func<string, bool>, Action<string, LocalEntry>, Func<long>) Of(ILocalTier tier) =>
        (tier, key => tier.Find(key) is not null, tier.Set, () => tier.Count);

    private static void Row(int capacity, string engine, Func<(object Cache, Func<string, bool> Read, Action<string, LocalEntry> Write, Func<long> Count)> create, int keys)
    {
        string[] names = [.. Enumerable.Range(0, keys).Select(key => $"key:{key}")];
        var entry = new LocalEntry { DeadAt = long.MaxValue };
        long before = Live();
        (object cache, Func<string, bool> read, Action<string, LocalEntry> write, Func<long> count) = create();
        var random = new Random(1);
        for (int i = 0; i < keys * 2L; i++)
        {
            // Half of all reads go to a part of the keys that fits, so that both queues and the ghost have their share.
            string name = names[i < keys ? i : random.Next(2) == 0 ? random.Next(capacity / 2) : random.Next(keys)];
            if (!read(name))
            {
                write(name, entry);
            }
        }

        long held = count();
        long bytes = Live() - before;
        GC.KeepAlive(cache);
        GC.KeepAlive(names);
        Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{capacity}\t{engine}\t{held}\t{(double)bytes / Math.Max(1, held):F1}"));
    }

    private static long Live()
    {
        // MemoryCache compacts on the pool; what is under way must not count.
        Thread.Sleep(200);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        return GC.GetTotalMemory(forceFullCollection: true);
    }
}
