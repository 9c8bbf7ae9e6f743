using System.Collections.Concurrent;
using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Benchmarks.Harness;
using Resilience.Caching;
using Resilience.Caching.Local;
using Resilience.Caching.Local.S3Fifo;

namespace Resilience.Benchmarks.Compare;

/// <summary>
/// What the local tier's own read, and a whole read of a cache over it, cost against a bare dictionary read over the same 10,000 keys.
/// </summary>
/// <param name="threads">How many threads read at once, those of the limit too.</param>
internal sealed class LocalTierGroup(int threads) : ICompareGroup, IDisposable
{
    private const int Keys = 10_000;
    private static readonly string[] Names = [.. Enumerable.Range(0, Keys).Select(i => $"product:{i}")];
    private readonly List<ServiceProvider> _services = [];

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

        ResilientCache own = Cache(LocalEngine.S3Fifo);
        ResilientCache overMemory = Cache(LocalEngine.Memory);
        return
        [
            Reads("ConcurrentDictionary.TryGetValue", name => dictionary.TryGetValue(name, out LocalEntry? entry) ? entry : null),
            Reads("S3FifoTier.Find", name => tier.Find(name)),
            Reads("S3FifoTier.Find of a span", name => tier.Find(name.AsSpan())),
            Reads("MemoryCache.TryGetValue", name => memory.TryGetValue(name, out object? entry) ? entry : null),
            Reads("GetOrCreateAsync on S3Fifo", name => Get(own, name)),
            Reads("GetOrCreateAsync on Memory", name => Get(overMemory, name)),
        ];
    }

    public void Dispose() => _services.ForEach(services => services.Dispose());

    private static string Get(ResilientCache cache, string name)
    {
        ValueTask<string> read = cache.GetOrCreateAsync(name, name, static (name, _) => new ValueTask<string>(name));
        return read.IsCompletedSuccessfully ? read.Result : throw new InvalidOperationException("That was no hit.");
    }

    private ResilientCache Cache(LocalEngine engine)
    {
        var services = new ServiceCollection();
        services.AddResilientCache("local", options => options.Local.Engine = engine);
        ServiceProvider provider = services.BuildServiceProvider();
        _services.Add(provider);
        var cache = provider.GetRequiredKeyedService<ResilientCache>("local");
        foreach (string name in Names)
        {
            cache.SetAsync(name, name, new CacheEntryOptions { Expiration = TimeSpan.FromHours(1) }).AsTask().GetAwaiter().GetResult();
        }

        return cache;
    }

    // The delegate is part of every case alike; it is about 2 ns of each row.
    private CompareCase Reads(string name, Func<string, object?> read) => CompareCase.Sync(name, threads, worker =>
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
