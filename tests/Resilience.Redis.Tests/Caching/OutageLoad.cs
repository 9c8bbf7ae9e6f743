using System.Collections.Concurrent;
using System.Diagnostics;

namespace Resilience.Redis.Tests.Caching;

/// <summary>Eight callers that read from one node all the time, what they were told, and how long they waited for it.</summary>
internal sealed class OutageLoad
{
    private readonly CancellationTokenSource _stop = new();
    private readonly RedisNode _node;
    private readonly int _keys;
    private readonly Task[] _callers;
    private int _version = 1;
    private int _reads;
    private long _measuredFrom = long.MaxValue;

    public OutageLoad(RedisNode node, int keys)
    {
        _node = node;
        _keys = keys;
        _callers = [.. Enumerable.Range(0, 8).Select(i => Task.Run(() => ReadAsync(new Random(i))))];
    }

    public int Reads => Volatile.Read(ref _reads);

    public ConcurrentQueue<Exception> Errors { get; } = new();

    /// <summary>In milliseconds, of reads that began after <see cref="Measure"/>.</summary>
    public ConcurrentQueue<double> Waits { get; } = new();

    /// <summary>Measures from now on: reads that began before are not what is measured.</summary>
    public void Measure() => Volatile.Write(ref _measuredFrom, Stopwatch.GetTimestamp());

    /// <summary>The source has something newer.</summary>
    public void Change() => Interlocked.Increment(ref _version);

    public async Task StopAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_callers);
        _stop.Dispose();
    }

    private async Task ReadAsync(Random random)
    {
        while (!_stop.IsCancellationRequested)
        {
            long began = Stopwatch.GetTimestamp();
            try
            {
                await _node.GetAsync($"key{random.Next(_keys)}", () => $"v{Volatile.Read(ref _version)}", ["tag"]);
            }
            catch (Exception exception)
            {
                Errors.Enqueue(exception);
            }

            if (began > Volatile.Read(ref _measuredFrom))
            {
                Waits.Enqueue(Stopwatch.GetElapsedTime(began).TotalMilliseconds);
            }

            Interlocked.Increment(ref _reads);
            await Task.Delay(1, CancellationToken.None);
        }
    }
}
