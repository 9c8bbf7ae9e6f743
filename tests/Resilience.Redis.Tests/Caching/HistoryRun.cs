using System.Diagnostics;
using Resilience.Caching;
using Resilience.TestKit;

namespace Resilience.Redis.Tests.Caching;

/// <summary>
/// What happens on two nodes, and the history of it. First at random: workers read with slow loads, change the source and then set, remove, expire,
/// remove by tag or clear. Then one thing after another: each kind of change is made on each node while the other has a copy, and the other is read until it
/// shows that it knows.
/// </summary>
/// <remarks>
/// <para>Once the call that follows a change of the source has returned, every later read on the same node must bring at least that version. On the other
/// node the same holds once the bound has passed in which a node finds out that it may have missed something. Changes of one key are made one at
/// a time, as a source would order them; reads, loads and invalidations of whole tags cross them freely.</para>
/// <para>What touches many keys at once hides a node that is deaf to changes of single ones. So half of the keys have no tags, in the second half of the random
/// part nothing is cleared and tagged keys are changed by their tags alone; and the second part leaves nothing that could hide anything.</para>
/// </remarks>
internal sealed class HistoryRun(ResilientCache one, ResilientCache two, StallMeter meter, bool withFaults)
{
    /// <summary>How a key is changed.</summary>
    public static readonly string[] Hows = ["set", "remove", "expire", "remove by tag", "clear"];

    private const int Keys = 6;
    private const int FirstTagged = 3;
    private const int HowsOfKeys = 3;
    private readonly ResilientCache[] _nodes = [one, two];
    private readonly long[] _source = new long[Keys];
    private readonly SemaphoreSlim[] _changing = [.. Enumerable.Range(0, Keys).Select(_ => new SemaphoreSlim(1))];
    private readonly long _began = Stopwatch.GetTimestamp();
    private int _nextHow;

    public History History { get; } = new();

    /// <summary>
    /// Within how many milliseconds a node must know: heartbeat, two hard timeouts, BlindFor; a cut, the way back, the breaker. What the machine was late by comes on
    /// top, several times over.
    /// </summary>
    public long Bound => 220 + 500 + 500 + (withFaults ? 1_800 : 300) + (long)(5 * meter.Worst.TotalMilliseconds);

    /// <summary>What is wrong with the history so far.</summary>
    public string? Check() => History.Check(Bound);

    /// <summary>One thing at random.</summary>
    public Task StepAsync(StressWorker worker, TimeSpan duration)
    {
        int node = worker.Random.Next(2);
        int key = worker.Random.Next(Keys);
        bool isMixed = Stopwatch.GetElapsedTime(_began) < duration / 2;
        return worker.Random.Next(8) == 0 ? ChangeAsync(node, key, NextHow(key, isMixed)) : ReadAsync(node, key, worker.Random.Next(3) == 0);
    }

    /// <summary>Each kind of change, on each node, beside a copy on the other.</summary>
    /// <returns>The first violation, with which it ends early. (Asked again later it may be none any more: the bound grows with what the machine is late by.)</returns>
    public async Task<string?> ProbeAsync()
    {
        foreach (int writer in (int[])[0, 1])
        {
            for (int how = 0; how < Hows.Length; how++)
            {
                int key = how < HowsOfKeys ? how : FirstTagged;
                await ReadAsync(1 - writer, key, isSlow: false);
                await ChangeAsync(writer, key, how);
                long changed = Stopwatch.GetTimestamp();
                while (await ReadAsync(1 - writer, key, isSlow: false) < _source[key])
                {
                    if (Stopwatch.GetElapsedTime(changed).TotalMilliseconds > Bound && Check() is { } violation)
                    {
                        return violation;
                    }

                    await Task.Delay(10);
                }
            }
        }

        return null;
    }

    private int NextHow(int key, bool isMixed)
    {
        int next = Interlocked.Increment(ref _nextHow);
        return key < FirstTagged ? (next % (HowsOfKeys + 1)) switch
        {
            HowsOfKeys when isMixed => Hows.Length - 1,
            HowsOfKeys => 0,
            var how => how,
        }
            : isMixed ? next % Hows.Length : HowsOfKeys;
    }

    private async Task<long> ReadAsync(int node, int key, bool isSlow)
    {
        History.Moment began = History.Now();
        long version = await _nodes[node].GetOrCreateAsync(
            $"key{key}",
            async _ =>
            {
                long read = Volatile.Read(ref _source[key]);
                if (isSlow)
                {
                    await Task.Delay(2, CancellationToken.None);
                }

                return read;
            },
            tags: Tags(key));
        History.AddRead(node, key, version, began);
        return version;
    }

    private async Task ChangeAsync(int node, int key, int how)
    {
        ResilientCache cache = _nodes[node];
        await _changing[key].WaitAsync();
        try
        {
            long version = Interlocked.Increment(ref _source[key]);
            await (how switch
            {
                0 => cache.SetAsync($"key{key}", version, tags: Tags(key)),
                1 => cache.RemoveAsync($"key{key}"),
                2 => cache.ExpireAsync($"key{key}"),
                3 => cache.RemoveByTagAsync(Tags(key)[0]),
                _ => cache.ClearAsync(),
            });
            History.AddChange(node, key, version, Hows[how], History.Now());
        }
        finally
        {
            _changing[key].Release();
        }
    }

    private static string[] Tags(int key) => key < FirstTagged ? [] : [$"tag{key % 2}"];
}
