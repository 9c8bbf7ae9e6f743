using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using System.Threading.RateLimiting;
using Microsoft.Extensions.ObjectPool;
using Resilience.Benchmarks.Harness;
using Resilience.Pools;

namespace Resilience.Benchmarks.Compare;

/// <summary>What it costs to take one of eight resources and give it back: alone, on two threads, and with 64 callers who have to wait.</summary>
internal sealed class PoolsGroup : ICompareGroup, IDisposable
{
    private const int Size = 8;
    private const int Callers = 64;

    private readonly ResourcePool<object> _pool = new("bench", new ResourceFactory<object>(static _ => new(new object())), new PoolOptions { MaxSize = Size });
    private readonly ResourcePool<object> _single = new("single", new ResourceFactory<object>(static _ => new(new object())), new PoolOptions { MaxSize = 1, AcquireTimeout = TimeSpan.FromMinutes(1) });
    private readonly DefaultObjectPool<object> _objects = new(new DefaultPooledObjectPolicy<object>(), Size);
    private readonly Channel<object> _channel = Channel.CreateUnbounded<object>();
    private readonly SemaphoreSlim _semaphore = new(Size);
    private readonly ConcurrentBag<object> _bag = [];
    private readonly ConcurrencyLimiter _limiter = new(new ConcurrencyLimiterOptions { PermitLimit = Size, QueueLimit = int.MaxValue });
    private PoolEntry<object>[] _entries = [];
    private IdleStack _stack;
    private int _idle;

    public IReadOnlyList<CompareCase> Cases()
    {
        _entries = [.. Enumerable.Range(0, Size).Select(index => new PoolEntry<object>(_pool, index))];
        foreach (PoolEntry<object> entry in _entries)
        {
            _stack.Push(entry);
            _channel.Writer.TryWrite(new object());
            _bag.Add(new object());
        }

        _idle = Size;
        PoolLease<object>[] warm = [.. Enumerable.Range(0, Size).Select(_ => _pool.AcquireAsync().AsTask().GetAwaiter().GetResult())];
        Array.ForEach(warm, lease => lease.Dispose());
        return [.. OnThreads(1), .. OnThreads(2), .. Contended(), CompareCase.Async("Task.Yield alone, 2 tasks", 2, _ => YieldAsync), CompareCase.Async("ResourcePool parked hand-off, 2 tasks over 1", 2, _ => operations => TurnAsync(_single, operations))];
    }

    public void Dispose()
    {
        _pool.Dispose();
        _single.Dispose();
        _limiter.Dispose();
        _semaphore.Dispose();
    }

    private IEnumerable<CompareCase> OnThreads(int threads)
    {
        yield return CompareCase.Sync("bare tagged stack", threads, _ => operations =>
        {
            for (int i = 0; i < operations; i++)
            {
                _stack.Push(_stack.Pop(ref _entries)!);
            }
        });
        yield return CompareCase.Sync("ResourcePool acquire + return", threads, _ => operations =>
        {
            for (int i = 0; i < operations; i++)
            {
                _pool.AcquireAsync().GetAwaiter().GetResult().Dispose();
            }
        });
        yield return CompareCase.Sync("ResourcePool.RunAsync", threads, _ => operations =>
        {
            for (int i = 0; i < operations; i++)
            {
                _pool.RunAsync(static (_, _, _) => default(ValueTask), 0).GetAwaiter().GetResult();
            }
        });
        yield return CompareCase.Sync("ObjectPool (no bound, no wait)", threads, _ => operations =>
        {
            for (int i = 0; i < operations; i++)
            {
                _objects.Return(_objects.Get());
            }
        });
        yield return CompareCase.Sync("Channel pool", threads, _ => operations =>
        {
            for (int i = 0; i < operations; i++)
            {
                _channel.Reader.TryRead(out object? item);
                Interlocked.Decrement(ref _idle);
                Interlocked.Increment(ref _idle);
                _channel.Writer.TryWrite(item!);
            }
        });
        yield return CompareCase.Sync("SemaphoreSlim + ConcurrentBag", threads, _ => operations =>
        {
            for (int i = 0; i < operations; i++)
            {
                _semaphore.WaitAsync().GetAwaiter().GetResult();
                _bag.TryTake(out object? item);
                _bag.Add(item!);
                _semaphore.Release();
            }
        });
        yield return CompareCase.Sync("ConcurrencyLimiter lease", threads, _ => operations =>
        {
            for (int i = 0; i < operations; i++)
            {
                _limiter.AttemptAcquire().Dispose();
            }
        });
    }

    private IEnumerable<CompareCase> Contended()
    {
        yield return CompareCase.Async("ResourcePool, 64 tasks over 8", Callers, _ => operations => TurnAsync(_pool, operations));
        yield return CompareCase.Async("ResourcePool.RunAsync, 64 tasks over 8", Callers, _ => async operations =>
        {
            for (int i = 0; i < operations; i++)
            {
                // Built as the pool's own methods are, so that what the action allocates is not taken for the pool's.
                await _pool.RunAsync([AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))] static async ValueTask (_, _, _) => await Task.Yield(), 0);
            }
        });
        yield return CompareCase.Async("ObjectPool (no bound, no wait), 64 tasks over 8", Callers, _ => async operations =>
        {
            for (int i = 0; i < operations; i++)
            {
                object item = _objects.Get();
                await Task.Yield();
                _objects.Return(item);
            }
        });
        yield return CompareCase.Async("Channel pool, 64 tasks over 8", Callers, _ => async operations =>
        {
            for (int i = 0; i < operations; i++)
            {
                if (!_channel.Reader.TryRead(out object? item))
                {
                    using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
                    item = await _channel.Reader.ReadAsync(limit.Token);
                }

                await Task.Yield();
                _channel.Writer.TryWrite(item);
            }
        });
        yield return CompareCase.Async("SemaphoreSlim + ConcurrentBag, 64 tasks over 8", Callers, _ => async operations =>
        {
            for (int i = 0; i < operations; i++)
            {
                await _semaphore.WaitAsync(TimeSpan.FromSeconds(30));
                _bag.TryTake(out object? item);
                await Task.Yield();
                _bag.Add(item!);
                _semaphore.Release();
            }
        });
        yield return CompareCase.Async("ConcurrencyLimiter lease, 64 tasks over 8", Callers, _ => async operations =>
        {
            for (int i = 0; i < operations; i++)
            {
                using RateLimitLease lease = await _limiter.AcquireAsync();
                await Task.Yield();
            }
        });
    }

    private static async Task YieldAsync(int operations)
    {
        for (int i = 0; i < operations; i++)
        {
            await Task.Yield();
        }
    }

    private static async Task TurnAsync(ResourcePool<object> pool, int operations)
    {
        for (int i = 0; i < operations; i++)
        {
            PoolLease<object> lease = await pool.AcquireAsync();
            await Task.Yield();
            lease.Dispose();
        }
    }
}
