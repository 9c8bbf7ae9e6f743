using System.Collections.Concurrent;
using Resilience.Caching;
using Resilience.TestKit;

namespace Resilience.Redis.Tests.Caching;

/// <summary>
/// Two nodes, one Redis, a proxy in front of one of them. Workers read with slow loads, write the source and then set, remove, expire,
/// remove by tag or clear, at random; the recorded history is checked afterwards.
/// </summary>
/// <remarks>
/// The source is a counter per key. A worker raises it and then invalidates; once that call has returned, every later read on the same
/// node must bring at least that number. On the other node the same holds once the bound has passed in which a node finds out that
/// it may have missed something.
/// </remarks>
public sealed class HistoryTests
{
    private const int Keys = 6;
    private static readonly long Bound = 3_000;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task History_RandomOperationsOnTwoNodes_NothingOlderThanAKnownInvalidation(bool withFaults)
    {
        await using RedisServer server = await RedisServer.StartNewAsync();
        await using ChaosProxy proxy = ChaosProxy.Start(server);
        await using RedisNode one = await RedisNode.StartAsync(server.Endpoint, "h:", options => options.Shared.BlindFor = TimeSpan.FromMilliseconds(500));
        await using RedisNode two = await RedisNode.StartAsync(proxy.Endpoint, "h:", options => options.Shared.BlindFor = TimeSpan.FromMilliseconds(500));
        await one.UntilUpAsync();
        await two.UntilUpAsync();
        RedisNode[] nodes = [one, two];
        long[] source = new long[Keys];
        var invalidations = new ConcurrentQueue<(int Node, int Key, long Version, long At)>();
        var reads = new ConcurrentQueue<(int Node, int Key, long Version, long From)>();
        long clock = 0;

        await new StressRunner { Workers = withFaults ? 7 : 6, Duration = TimeSpan.FromSeconds(withFaults ? 6 : 3) }.RunAsync(async worker =>
        {
            if (withFaults && worker.Index == 6)
            {
                proxy.RefusesNew = true;
                proxy.Cut();
                await Task.Delay(worker.Random.Next(20, 120));
                proxy.RefusesNew = false;
                proxy.Heal();
                await Task.Delay(worker.Random.Next(400, 1200));
                return;
            }

            int at = worker.Random.Next(2);
            int key = worker.Random.Next(Keys);
            ResilientCache cache = nodes[at].Cache;
            string[] tags = [$"tag{key % 2}"];
            if (worker.Random.Next(8) != 0)
            {
                long from = Interlocked.Increment(ref clock);
                long ticks = Environment.TickCount64;
                bool isSlow = worker.Random.Next(3) == 0;
                long version = await cache.GetOrCreateAsync($"key{key}", async _ =>
                {
                    long read = Volatile.Read(ref source[key]);
                    if (isSlow)
                    {
                        await Task.Delay(2, CancellationToken.None);
                    }

                    return read;
                }, tags: tags);
                reads.Enqueue((at, key, version, from));
                Check(at, key, version, from, ticks);
                return;
            }

            long next = Interlocked.Increment(ref source[key]);
            switch (worker.Random.Next(4))
            {
                case 0:
                    await cache.RemoveAsync($"key{key}");
                    break;
                case 1:
                    await cache.ExpireAsync($"key{key}");
                    break;
                case 2:
                    await cache.RemoveByTagAsync(tags[0]);
                    break;
                default:
                    await cache.ClearAsync();
                    break;
            }

            invalidations.Enqueue((at, key, next, Interlocked.Increment(ref clock)));
            Known[at, key].Enqueue((next, Volatile.Read(ref clock), Environment.TickCount64));
        });

        Assert.NotEmpty(reads);
        Assert.NotEmpty(invalidations);
        TestContext.Current.TestOutputHelper?.WriteLine($"{reads.Count} reads, {invalidations.Count} invalidations, {one.Cache.Snapshot().Discarded + two.Cache.Snapshot().Discarded} loads discarded, {two.Cache.Snapshot().Distrusted} times distrusted");
    }

    private ConcurrentQueue<(long Version, long At, long Ticks)>[,] Known { get; } = Make();

    private static ConcurrentQueue<(long, long, long)>[,] Make()
    {
        var made = new ConcurrentQueue<(long, long, long)>[2, Keys];
        for (int node = 0; node < 2; node++)
        {
            for (int key = 0; key < Keys; key++)
            {
                made[node, key] = new ConcurrentQueue<(long, long, long)>();
            }
        }

        return made;
    }

    private void Check(int node, int key, long version, long from, long ticks)
    {
        foreach ((long known, long at, _) in Known[node, key])
        {
            Assert.False(at < from && version < known, $"Node {node} read version {version} of key {key} at {from}, after its own invalidation of version {known} had returned at {at}.");
        }

        foreach ((long known, _, long returned) in Known[1 - node, key])
        {
            Assert.False(ticks - returned > Bound && version < known, $"Node {node} read version {version} of key {key} {ticks - returned} ms after the other node's invalidation of version {known} had returned.");
        }
    }
}
