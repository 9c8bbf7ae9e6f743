using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Benchmarks.Harness;
using Resilience.Caching;
using Resilience.Caching.Local;

namespace Resilience.Benchmarks.Compare;

/// <summary>What a cache costs: a hit over 10,000 keys, a miss, and, where redis-server is installed, reads over Redis.</summary>
internal sealed class CachingGroup : ICompareGroup, IDisposable
{
    private const int Count = 10_000;
    private static readonly string[] Keys = [.. Enumerable.Range(0, Count).Select(i => $"product:{i}")];

    private readonly ConcurrentDictionary<string, string> _dictionary = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Stamped> _stamped = new(StringComparer.Ordinal);
    private readonly MemoryCache _memory = new(new MemoryCacheOptions());
    private readonly ServiceProvider _services;
    private readonly Process? _redis;

    public CachingGroup()
    {
        var services = new ServiceCollection();
        services.AddResilientCache("memory", options => options.Local.Engine = LocalEngine.Memory);
        services.AddResilientCache("s3fifo", options => options.Local.Engine = LocalEngine.S3Fifo);
        services.AddResilientCache("miss", options => (options.Local.Engine, options.Local.SizeLimit) = (LocalEngine.Memory, 1L << 30));
        services.AddResilientCache("miss-s3fifo", options => (options.Local.Engine, options.Local.SizeLimit) = (LocalEngine.S3Fifo, 4 << 20));
        int port = FreePort();
        _redis = StartRedis(port);
        if (_redis is not null)
        {
            services.AddResilienceRedis(options => options.Configuration = $"127.0.0.1:{port}");
            services.AddResilientCache("redis", options => options.Expiration = TimeSpan.FromHours(1));
        }

        foreach (string name in (string[])["memory", "s3fifo", "miss", "miss-s3fifo"])
        {
            services.Configure<CacheOptions>(name, options => options.Shared.Enabled = false);
        }

        _services = services.BuildServiceProvider();
        foreach (string key in Keys)
        {
            _dictionary[key] = key;
            _stamped[key] = new Stamped(key, long.MaxValue);
            _memory.Set(key, key, TimeSpan.FromHours(1));
            foreach (string name in (string[])["memory", "s3fifo"])
            {
                Cache(name).SetAsync(key, key, new CacheEntryOptions { Expiration = TimeSpan.FromHours(1) }).AsTask().GetAwaiter().GetResult();
            }
        }
    }

    public IReadOnlyList<CompareCase> Cases()
    {
        List<CompareCase> cases =
        [
            Hit("ConcurrentDictionary.TryGetValue", key => _dictionary.TryGetValue(key, out string? value) ? value : null),
            CompareCase.Sync("the same, expiry and ValueTask API", () => operations =>
            {
                object? last = null;
                for (int i = 0; i < operations; i++)
                {
                    ValueTask<string> read = ReadStamped(Keys[i % Count]);
                    last = read.IsCompletedSuccessfully ? read.Result : null;
                }

                Sink.Keep(last);
            }),
            Hit("MemoryCache.TryGetValue", key => _memory.TryGetValue(key, out object? value) ? value : null),
            CompareCase.Sync("MemoryCache.GetOrCreateAsync", () => operations =>
            {
                object? last = null;
                for (int i = 0; i < operations; i++)
                {
                    last = _memory.GetOrCreateAsync(Keys[i % Count], static _ => Task.FromResult("")).Result;
                }

                Sink.Keep(last);
            }),
        ];
        foreach (string name in (string[])["memory", "s3fifo"])
        {
            ResilientCache cache = Cache(name);
            HybridCache platform = cache;
            cases.Add(Hit($"ours on {name}: hit, state", key => platform.GetOrCreateAsync(key, 0, static (_, _) => new ValueTask<string>("")).Result));
            cases.Add(Hit($"ours on {name}: hit, capturing lambda", key => platform.GetOrCreateAsync(key, _ => new ValueTask<string>(key)).Result));
            cases.Add(Hit($"ours on {name}: hit, span key", key => platform.GetOrCreateAsync(key.AsSpan(), 0, static (_, _) => new ValueTask<string>("")).Result));
        }

        cases.Add(Miss("MemoryCache: miss, TryGet and Set", key =>
        {
            if (!_memory.TryGetValue(key, out object? value))
            {
                value = _memory.Set(key, key, TimeSpan.FromSeconds(10));
            }

            return value;
        }));
        foreach (string name in (string[])["miss", "miss-s3fifo"])
        {
            HybridCache cache = Cache(name);
            cases.Add(Miss($"ours on {(name == "miss" ? "memory" : "s3fifo")}: miss, synchronous factory", key => cache.GetOrCreateAsync(key, key, static (state, _) => new ValueTask<string>(state)).Result));
        }

        if (_redis is not null)
        {
            AddRedis(cases);
        }

        return cases;
    }

    public void Dispose()
    {
        _services.DisposeAsync().AsTask().GetAwaiter().GetResult();
        _memory.Dispose();
        if (_redis is not null)
        {
            _redis.Kill();
            _redis.WaitForExit();
            _redis.Dispose();
        }
    }

    private void AddRedis(List<CompareCase> cases)
    {
        ResilientCache cache = Cache("redis");
        string[] batch = Keys[..100];
        var shared = new CacheEntryOptions { TierFlags = HybridCacheEntryFlags.DisableLocalCache };
        foreach (string key in batch)
        {
            cache.SetAsync(key, key).AsTask().GetAwaiter().GetResult();
        }

        cases.Add(CompareCase.Async("ours over Redis: shared hit", () => async operations =>
        {
            for (int i = 0; i < operations; i++)
            {
                Sink.Keep(await cache.GetOrCreateAsync<int, string>(batch[i % 100], 0, static (_, _, _) => new ValueTask<string>(""), shared));
            }
        }));
        int next = 0;
        cases.Add(CompareCase.Async("ours over Redis: miss, synchronous factory", () => async operations =>
        {
            for (int i = 0; i < operations; i++)
            {
                string key = string.Create(CultureInfo.InvariantCulture, $"miss:{Interlocked.Increment(ref next)}");
                Sink.Keep(await cache.GetOrCreateAsync<string, string>(key, key, static (_, state, _) => new ValueTask<string>(state)));
            }
        }));
        cases.Add(CompareCase.Async("ours over Redis: 100 single reads", () => async operations =>
        {
            for (int i = 0; i < operations; i++)
            {
                foreach (string key in batch)
                {
                    Sink.Keep(await cache.GetOrCreateAsync<int, string>(key, 0, static (_, _, _) => new ValueTask<string>(""), shared));
                }
            }
        }));
        cases.Add(CompareCase.Async("ours over Redis: batch of 100", () => async operations =>
        {
            for (int i = 0; i < operations; i++)
            {
                Sink.Keep(await cache.GetOrCreateManyAsync<int, string>(batch, 0, static (_, _, _) => throw new InvalidOperationException("All are there."), shared));
            }
        }));
    }

    private ResilientCache Cache(string name) => _services.GetRequiredKeyedService<ResilientCache>(name);

    private static CompareCase Hit(string name, Func<string, object?> read) => CompareCase.Sync(name, () => operations =>
    {
        object? last = null;
        for (int i = 0; i < operations; i++)
        {
            last = read(Keys[i % Count]);
        }

        Sink.Keep(last);
    });

    private static CompareCase Miss(string name, Func<string, object?> read)
    {
        int next = 0;

        // New keys each time; making them is part of what is measured, for every case alike.
        return Hit(name, _ => read(string.Create(12, next++, static (span, number) => number.TryFormat(span, out int _, "D12"))));
    }

    private ValueTask<string> ReadStamped(string key) =>
        _stamped.TryGetValue(key, out Stamped? found) && Environment.TickCount64 < found.ExpiresAt ? new ValueTask<string>(found.Value) : throw new InvalidOperationException();

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static Process? StartRedis(int port)
    {
        try
        {
            Process process = Process.Start(new ProcessStartInfo("redis-server", $"--port {port} --bind 127.0.0.1 --save \"\" --appendonly no") { RedirectStandardOutput = true, UseShellExecute = false })!;
            using var ready = new ManualResetEventSlim();
            process.OutputDataReceived += (_, line) =>
            {
                if (line.Data?.Contains("Ready to accept", StringComparison.Ordinal) == true)
                {
                    ready.Set();
                }
            };
            process.BeginOutputReadLine();
            ready.Wait(TimeSpan.FromSeconds(10));
            return process;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null;
        }
    }

    private sealed record Stamped(string Value, long ExpiresAt);
}
