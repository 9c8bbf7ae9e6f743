using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Numerics;
using Resilience.Caching.Local;
using Resilience.Caching.Local.S3Fifo;

namespace Resilience.Benchmarks.HitRatio;

/// <summary>
/// Times every single read and write of a tier under a Zipf trace, from empty over its growth to long after it is full. A bare dictionary
/// under the same trace shows what of the tail is the machine's: a thread that loses its processor. Operations during which a
/// collection ran are left out and counted.
/// </summary>
internal static class PauseHistogram
{
    private const int Capacity = 100_000;
    private const int Rounds = 2;
    private const int Buckets = 26; // powers of two of nanoseconds
    private const double LongFrom = 100_000;

    public static void Print(int threads)
    {
        Trace trace = Trace.Zipf(Capacity);
        string[] names = [.. Enumerable.Range(0, trace.Keys.Max() + 1).Select(key => $"key:{key}")];
        var entry = new LocalEntry { DeadAt = long.MaxValue };
        using var tier = new S3FifoTier(Capacity, TimeProvider.System);
        var dictionary = new ConcurrentDictionary<string, LocalEntry>(StringComparer.Ordinal);
        Histograms own = Replay(trace, names, threads, name => tier.Find(name) is not null, name => tier.Set(name, entry));
        Histograms bare = Replay(trace, names, threads, dictionary.ContainsKey, name => dictionary[name] = entry);

        Console.Out.WriteLine("below_us\ttier_reads\ttier_writes\tdictionary_reads\tdictionary_writes");
        for (int bucket = 0; bucket < Buckets; bucket++)
        {
            if (own.Reads[bucket] + own.Writes[bucket] + bare.Reads[bucket] + bare.Writes[bucket] > 0)
            {
                Console.Out.WriteLine(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{(1L << (bucket + 1)) / 1000.0:F1}\t{own.Reads[bucket]}\t{own.Writes[bucket]}\t{bare.Reads[bucket]}\t{bare.Writes[bucket]}"));
            }
        }

        Console.Out.WriteLine($"over_100_us\t{own.LongReads}\t{own.LongWrites}\t{bare.LongReads}\t{bare.LongWrites}");
        Console.Out.WriteLine($"on_processor_over_100_us\t{own.BusyReads}\t{own.BusyWrites}\t{bare.BusyReads}\t{bare.BusyWrites}");
        Console.Out.WriteLine($"during_collections\t{own.Collected}\t\t{bare.Collected}\t");
    }

    private static Histograms Replay(Trace trace, string[] names, int threads, Func<string, bool> read, Action<string> write)
    {
        Histograms[] each = [.. Enumerable.Range(0, threads).Select(_ => new Histograms())];
        Thread[] workers = [.. each.Select((own, worker) => new Thread(() =>
        {
            for (int i = worker; i < trace.Keys.Length * Rounds; i += threads)
            {
                string name = names[trace.Keys[i % trace.Keys.Length]];
                if (!own.Time(read, name))
                {
                    own.Time(write, name);
                }
            }
        }))];
        Array.ForEach(workers, worker => worker.Start());
        Array.ForEach(workers, worker => worker.Join());
        return each.Aggregate((sum, other) => sum.Add(other));
    }

    private sealed class Histograms
    {
        public long[] Reads { get; } = new long[Buckets];

        public long[] Writes { get; } = new long[Buckets];

        public long LongReads { get; private set; }

        public long LongWrites { get; private set; }

        /// <summary>Those that were long though the thread kept its processor.</summary>
        public long BusyReads { get; private set; }

        /// <inheritdoc cref="BusyReads"/>
        public long BusyWrites { get; private set; }

        public long Collected { get; private set; }

        public bool Time(Func<string, bool> read, string name)
        {
            Start start = Start.Now;
            bool isHit = read(name);
            if (Take(start, Reads, out double cpu))
            {
                LongReads++;
                BusyReads += cpu > LongFrom ? 1 : 0;
            }

            return isHit;
        }

        public void Time(Action<string> write, string name)
        {
            Start start = Start.Now;
            write(name);
            if (Take(start, Writes, out double cpu))
            {
                LongWrites++;
                BusyWrites += cpu > LongFrom ? 1 : 0;
            }
        }

        public Histograms Add(Histograms other)
        {
            for (int i = 0; i < Buckets; i++)
            {
                Reads[i] += other.Reads[i];
                Writes[i] += other.Writes[i];
            }

            LongReads += other.LongReads;
            LongWrites += other.LongWrites;
            BusyReads += other.BusyReads;
            BusyWrites += other.BusyWrites;
            Collected += other.Collected;
            return this;
        }

        private bool Take(Start start, long[] histogram, out double cpu)
        {
            double nanoseconds = Stopwatch.GetElapsedTime(start.Wall).TotalNanoseconds;
            cpu = 0;
            if (GC.CollectionCount(0) != start.Collections)
            {
                Collected++;
                return false;
            }

            histogram[Math.Clamp(BitOperations.Log2((ulong)Math.Max(1, nanoseconds)), 0, Buckets - 1)]++;
            if (nanoseconds <= LongFrom)
            {
                return false;
            }

            cpu = (Harness.ThreadClock.CpuSeconds - start.Cpu) * 1e9;
            return true;
        }

        private readonly record struct Start(long Wall, double Cpu, int Collections)
        {
            // The wall clock last, so that reading the others is not in what is timed.
            public static Start Now
            {
                get
                {
                    double cpu = Harness.ThreadClock.CpuSeconds;
                    int collections = GC.CollectionCount(0);
                    return new Start(Stopwatch.GetTimestamp(), cpu, collections);
                }
            }
        }
    }
}
