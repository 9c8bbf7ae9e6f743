using Resilience.Caching;
using Resilience.TestKit;

namespace Resilience.Redis.Tests.Caching;

/// <summary>
/// Two nodes, one Redis, a proxy in front of one of them. Workers read with slow loads, change the source and then set, remove, expire, remove by tag or
/// clear, at random; the recorded history is checked afterwards.
/// </summary>
/// <remarks>
/// Once the call that follows a change of the source has returned, every later read on the same node must bring at least that version. On the other
/// node the same holds once the bound has passed in which a node finds out that it may have missed something. Changes of one key are made one at
/// a time, as a source would order them; reads, loads and invalidations of whole tags cross them freely.
/// </remarks>
public sealed class HistoryTests
{
    private const int Keys = 6;
    private static readonly string[] Hows = ["set", "remove", "expire", "remove by tag", "clear"];
    private readonly History _history = new();
    private readonly long[] _source = new long[Keys];
    private readonly SemaphoreSlim[] _changing = [.. Enumerable.Range(0, Keys).Select(_ => new SemaphoreSlim(1))];
    private int _nextHow;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task History_RandomOperationsOnTwoNodes_NothingOlderThanAKnownInvalidation(bool withFaults)
    {
        await using RedisServer server = await RedisServer.StartNewAsync();
        await using ChaosProxy proxy = ChaosProxy.Start(server);
        await using RedisNode one = await RedisNode.StartAsync(server.Endpoint, "h:", Configure);
        await using RedisNode two = await RedisNode.StartAsync(proxy.Endpoint, "h:", Configure);
        await one.UntilUpAsync();
        await two.UntilUpAsync();
        RedisNode[] nodes = [one, two];
        int cuts = 0;
        using var meter = StallMeter.Start();
        TimeSpan duration = TimeSpan.FromSeconds(Environment.GetEnvironmentVariable("NIGHTLY") == "1" ? 120 : withFaults ? 6 : 3);
        await new StressRunner { Workers = withFaults ? 7 : 6, Duration = duration }.RunAsync(async worker =>
        {
            if (worker.Index == 6)
            {
                await CutAsync(proxy, worker);
                cuts++;
                return;
            }

            int node = worker.Random.Next(2);
            int key = worker.Random.Next(Keys);
            await (worker.Random.Next(8) == 0 ? ChangeAsync(nodes[node].Cache, node, key, Interlocked.Increment(ref _nextHow) % Hows.Length) : ReadAsync(nodes[node].Cache, node, key, worker.Random.Next(3) == 0));
        });

        // Heartbeat, two hard timeouts, BlindFor; a cut, the way back, the breaker. What the machine was late by comes on top, several times over.
        long stated = 220 + 500 + 500;
        long bound = stated + (withFaults ? 1_800 : 300) + (long)(5 * meter.Worst.TotalMilliseconds);
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{_history.Reads} reads, {string.Join(", ", _history.Changes.Select(change => $"{change.Value} x {change.Key}"))}, {cuts} cuts, {one.Cache.Snapshot().Discarded + two.Cache.Snapshot().Discarded} loads discarded, {two.Cache.Snapshot().Distrusted} times distrusted; bound {bound} ms, machine late by {meter.Worst.TotalMilliseconds:0} ms");
        Assert.Null(_history.Check(bound));
        Assert.Equal(Hows.Order(StringComparer.Ordinal), _history.Changes.Keys.Order(StringComparer.Ordinal));
        Assert.True(_history.Reads > 100, $"Only {_history.Reads} reads: too few to prove anything.");
        Assert.True(!withFaults || cuts > 0);
    }

    [Fact]
    public void Check_NodeReadsOlderThanItsOwnChange_IsFound()
    {
        _history.AddRead(0, 1, 1, _history.Now());
        _history.AddChange(0, 1, 2, "remove", _history.Now());
        Assert.Null(_history.Check(1_000));
        _history.AddRead(0, 1, 2, _history.Now());
        _history.AddRead(1, 1, 1, _history.Now()); // the other node may not have heard yet
        Assert.Null(_history.Check(1_000));
        _history.AddRead(0, 1, 1, _history.Now());
        Assert.Contains("its own remove of version 2", _history.Check(1_000), StringComparison.Ordinal);
    }

    [Fact]
    public void Check_OtherNodeReadsOlderPastTheBound_IsFound()
    {
        _history.AddChange(0, 1, 2, "clear", _history.Now());
        History.Moment late = _history.Now();
        _history.AddRead(1, 1, 1, late with { Milliseconds = late.Milliseconds + 900 });
        Assert.Null(_history.Check(1_000));
        _history.AddRead(1, 1, 1, late with { Milliseconds = late.Milliseconds + 1_100 });
        Assert.Contains("the other node's clear of version 2", _history.Check(1_000), StringComparison.Ordinal);
    }

    private static void Configure(CacheOptions options)
    {
        RedisNode.Impatient(options);
        options.Shared.BlindFor = TimeSpan.FromMilliseconds(500);
    }

    private static async Task CutAsync(ChaosProxy proxy, StressWorker worker)
    {
        proxy.RefusesNew = true;
        proxy.Cut();
        await Task.Delay(worker.Random.Next(20, 120));
        proxy.RefusesNew = false;
        proxy.Heal();
        await Task.Delay(worker.Random.Next(400, 1200));
    }

    private async Task ReadAsync(ResilientCache cache, int node, int key, bool isSlow)
    {
        History.Moment began = _history.Now();
        long version = await cache.GetOrCreateAsync(
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
        _history.AddRead(node, key, version, began);
    }

    private async Task ChangeAsync(ResilientCache cache, int node, int key, int how)
    {
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
            _history.AddChange(node, key, version, Hows[how], _history.Now());
        }
        finally
        {
            _changing[key].Release();
        }
    }

    private static string[] Tags(int key) => [$"tag{key % 2}"];
}
