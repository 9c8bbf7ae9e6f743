using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Numerics;
using Resilience.Caching.Local;
using Resilience.Caching.Local.S3Fifo;

namespace Resilience.Benchmarks.HitRatio;

/// <summary>
/// Times every single read and write of a full tier under a Zipf trace. A bare dictionary under the same trace shows what of the tail is
/// the machine's: a thread that loses its processor, a collection.
/// </summary>
internal static class PauseHistogram
{
    private const int Capacity = 100_000;
    private const int Buckets = 24; // powers of two of nanoseconds

    public static void Print()
    {
        Trace trace = Trace.Zipf(Capacity);
        string[] names = [.. Enumerable.Range(0, 1_000_000).Select(key => $"key:{key}")];
        var entry = new LocalEntry { DeadAt = long.MaxValue };
        using var tier = new S3FifoTier(Capacity, TimeProvider.System);
        var dictionary = new ConcurrentDictionary<string, LocalEntry>(StringComparer.Ordinal);
        Replay(trace, names, key => tier.Find(key) is null, key => tier.Set(key, entry)); // fills it
        long[] own = Replay(trace, names, key => tier.Find(key) is null, key => tier.Set(key, entry));
        Replay(trace, names, key => !dictionary.ContainsKey(key), key => dictionary[key] = entry);
        long[] bare = Replay(trace, names, key => !dictionary.ContainsKey(key), key => dictionary[key] = entry);
        Console.Out.WriteLine("below_us\tS3FifoTier\tConcurrentDictionary");
        for (int bucket = 0; bucket < Buckets; bucket++)
        {
            if (own[bucket] + bare[bucket] > 0)
            {
                Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{(1L << (bucket + 1)) / 1000.0:F1}\t{own[bucket]}\t{bare[bucket]}"));
            }
        }
    }

    private static long[] Replay(Trace trace, string[] names, Func<string, bool> isMiss, Action<string> write)
    {
        var histogram = new long[Buckets];
        foreach (int key in trace.Keys)
        {
            string name = names[key];
            long started = Stopwatch.GetTimestamp();
            if (isMiss(name))
            {
                write(name);
            }

            long nanoseconds = (long)Stopwatch.GetElapsedTime(started).TotalNanoseconds;
            histogram[Math.Min(Buckets - 1, BitOperations.Log2((ulong)Math.Max(1, nanoseconds)))]++;
        }

        return histogram;
    }
}
