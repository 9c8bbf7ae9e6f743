using System.Collections.Concurrent;
using Microsoft.Extensions.Caching.Memory;
using Resilience.Benchmarks.Harness;
using Resilience.Caching.Local;
using Resilience.Caching.Local.S3Fifo;

namespace Resilience.Benchmarks.Compare;

/// <summary>What the local tier's own read costs against a bare dictionary read over the same 10,000 keys.</summary>
internal sealed class LocalTierGroup : ICompareGroup
{
    private const int Keys = 10_000;
    private static readonly string[] Names = [.. Enumerable.Range(0, Keys).Select(i => $"product:{i}")];

    public IReadOnlyList<CompareCase> Cases()
    {
        var dictionary = new ConcurrentDictionary<string, LocalEntry>(StringComparer.Ordinal);
        var tier = new S3FifoTier(Keys * 2, TimeProvider.System);
        var memory = new MemoryCache(new MemoryCacheOptions());
        foreach (string name in Names)
        {
            var entry = new LocalEntry { DeadAt = long.MaxValue };
            dictionary[name] = entry;
            tier.Set(name, entry);
            memory.Set(name, entry);
        }

        return
        [
            Reads("ConcurrentDictionary.TryGetValue", 1, name => dictionary.TryGetValue(name, out LocalEntry? entry) ? entry : null),
            Reads("S3FifoTier.Find", 1, name => tier.Find(name)),
            Reads("S3FifoTier.Find of a span", 1, name => tier.Find(name.AsSpan())),
            Reads("MemoryCache.TryGetValue", 1, name => memory.TryGetValue(name, out object? entry) ? entry : null),
            Reads("ConcurrentDictionary.TryGetValue, 2 threads", 2, name => dictionary.TryGetValue(name, out LocalEntry? entry) ? entry : null),
            Reads("S3FifoTier.Find, 2 threads", 2, name => tier.Find(name)),
        ];
    }

    // The delegate is part of every case alike; it is about 2 ns of each row.
    private static CompareCase Reads(string name, int threads, Func<string, object?> read) => CompareCase.Sync(name, threads, worker =>
    {
        int at = worker * (Keys / 2);
        return operations =>
        {
            object? last = null;
            string[] names = Names;
            int next = at;
            for (int i = 0; i < operations; i++)
            {
                last = read(names[next]);
                next = next + 7 < names.Length ? next + 7 : next + 7 - names.Length;
            }

            at = next;
            Sink.Keep(last);
        };
    });
}

/// <summary>What a write costs once the tier is full, against adding to and removing from a bare dictionary of the same size.</summary>
internal sealed class LocalWriteGroup : ICompareGroup
{
    private const int Capacity = 10_000;
    private const int Ring = 1 << 18;
    private static readonly string[] Names = [.. Enumerable.Range(0, Ring).Select(i => $"product:{i}")];

    public IReadOnlyList<CompareCase> Cases()
    {
        var entry = new LocalEntry { DeadAt = long.MaxValue };
        return
        [
            CompareCase.Sync("ConcurrentDictionary add + remove", () =>
            {
                var dictionary = new ConcurrentDictionary<string, LocalEntry>(StringComparer.Ordinal);
                int next = 0;
                for (; next < Capacity; next++)
                {
                    dictionary.TryAdd(Names[next], entry);
                }

                return operations =>
                {
                    for (int i = 0; i < operations; i++, next++)
                    {
                        dictionary.TryAdd(Names[next & (Ring - 1)], entry);
                        dictionary.TryRemove(Names[(next - Capacity) & (Ring - 1)], out _);
                    }
                };
            }),
            CompareCase.Sync("S3FifoTier.Set with eviction", () =>
            {
                var tier = new S3FifoTier(Capacity, TimeProvider.System);
                int next = 0;
                return operations =>
                {
                    for (int i = 0; i < operations; i++, next++)
                    {
                        tier.Set(Names[next & (Ring - 1)], entry);
                    }
                };
            }),
            CompareCase.Sync("S3FifoTier.Set over the same key", () =>
            {
                var tier = new S3FifoTier(Capacity, TimeProvider.System);
                int next = 0;
                return operations =>
                {
                    for (int i = 0; i < operations; i++, next++)
                    {
                        tier.Set(Names[next % (Capacity / 2)], entry);
                    }
                };
            }),
        ];
    }
}
