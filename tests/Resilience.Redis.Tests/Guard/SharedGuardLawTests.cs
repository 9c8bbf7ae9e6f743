using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging.Abstractions;
using Resilience.Caching.Guard;
using Resilience.Redis.Guard;
using Resilience.TestKit;

namespace Resilience.Redis.Tests.Guard;

/// <summary>
/// The law on two nodes: a key whose <c>AddAsync</c> completed before its row was committed is never refused, whatever happens to nodes,
/// network and Redis meanwhile.
/// </summary>
public sealed class SharedGuardLawTests : IAsyncDisposable
{
    private readonly ConcurrentDictionary<string, bool> _rows = new(StringComparer.Ordinal);
    private readonly List<string> _committed = []; // guarded by itself
    private readonly CancellationTokenSource _ending = new();
    private readonly Node[] _nodes = new Node[2];
    private long _steps;
    private long _refusals;
    private int _next;

    [Fact]
    public async Task TwoNodes_InsertsRebuildsRestartsAndCuts_NoCommittedKeyIsRefused()
    {
        long steps = Environment.GetEnvironmentVariable("NIGHTLY") == "1" ? 100_000_000 : 1_000_000;
        int seed = int.TryParse(Environment.GetEnvironmentVariable("STRESS_SEED"), out int given) ? given : Random.Shared.Next();
        TestContext.Current.TestOutputHelper?.WriteLine($"STRESS_SEED={seed}");
        await using RedisServer redis = await RedisServer.StartNewAsync();
        for (int i = 0; i < _nodes.Length; i++)
        {
            _nodes[i] = new Node(redis, Rows);
        }

        long end = Environment.TickCount64 + 8_000; // long enough for every kind of fault below
        var workers = new List<Task> { Task.Run(() => FaultsAsync(redis, new Random(seed))) };
        workers.AddRange(Enumerable.Range(0, 4).Select(i => Task.Run(() => WriteAsync(new Random(seed + 1 + i)))));
        workers.Add(Task.Run(() => Read(new Random(seed + 9))));
        while ((Volatile.Read(ref _steps) < steps || Environment.TickCount64 < end) && workers.TrueForAll(worker => !worker.IsCompleted))
        {
            await Task.WhenAny([Task.Delay(50), .. workers]);
        }

        await _ending.CancelAsync();
        await Task.WhenAll(workers);
        TestContext.Current.TestOutputHelper?.WriteLine($"{_steps} steps, {_committed.Count} rows, {_refusals} right refusals");
        Assert.True(_refusals > 0, "the guard never refused anything, so nothing was proved");
        Assert.True(_committed.Count > 100);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (Node node in _nodes)
        {
            await node.DisposeAsync();
        }

        _ending.Dispose();
    }

    private async Task WriteAsync(Random random)
    {
        while (!_ending.IsCancellationRequested)
        {
            string key = $"key:{Interlocked.Increment(ref _next)}";
            try
            {
                await _nodes[random.Next(_nodes.Length)].Guard.AddAsync(key, _ending.Token);
            }
            catch (Exception exception) when (exception is GuardJournalException or OperationCanceledException)
            {
                continue; // not committed, as the contract says
            }

            await Task.Delay(random.Next(8) == 0 ? random.Next(Node.CommitWithin / 2) : 0);
            _rows[key] = true;
            lock (_committed)
            {
                _committed.Add(key);
            }
        }
    }

    private void Read(Random random)
    {
        while (!_ending.IsCancellationRequested)
        {
            for (int i = 0; i < 1_000; i++)
            {
                string? key;
                lock (_committed)
                {
                    // The newest are where a lagging node would be caught.
                    key = _committed.Count == 0 ? null : _committed[random.Next(2) == 0 ? random.Next(_committed.Count) : _committed.Count - 1 - random.Next(Math.Min(20, _committed.Count))];
                }

                if (key is not null)
                {
                    Assert.True(_nodes[i & 1].Guard.MayExist(key), $"node {i & 1} refused the committed key {key}");
                }
            }

            Interlocked.Add(ref _steps, 1_000);
            foreach (Node node in _nodes)
            {
                _refusals += node.Guard.MayExist($"invented:{random.Next()}") ? 0 : 1;
            }
        }
    }

    private async Task FaultsAsync(RedisServer redis, Random random)
    {
        for (int fault = 0; !_ending.IsCancellationRequested; fault++)
        {
            await Task.Delay(random.Next(100, 900));
            int which = random.Next(_nodes.Length);
            Node node = _nodes[which];
            switch (fault % 5)
            {
                case 0:
                    node.Proxy.RefusesNew = true;
                    node.Proxy.Cut();
                    await Task.Delay(random.Next(50, 600));
                    node.Proxy.RefusesNew = false;
                    break;
                case 1:
                    redis.Pause();
                    await Task.Delay(random.Next(50, 600));
                    redis.Resume();
                    break;
                case 2:
                    var fresh = new Node(redis, Rows);
                    _nodes[which] = fresh;
                    await node.DisposeAsync();
                    break;
                case 3:
                    await redis.KillAsync(); // keeps nothing: the journal is lost
                    await redis.StartAsync();
                    await Task.Delay(Node.CommitWithin + 1_500);
                    break;
                default:
                    try
                    {
                        await node.Guard.RebuildAsync(_ending.Token);
                    }
                    catch (Exception)
                    {
                        // Redis may be away; the filter in force stays.
                    }

                    break;
            }
        }
    }

    private async IAsyncEnumerable<string> Rows([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        string[] snapshot = [.. _rows.Keys]; // what commits from here on is not in it
        await Task.Delay(20, cancellationToken);
        foreach (string key in snapshot)
        {
            yield return key;
        }
    }

    private sealed class Node : IAsyncDisposable
    {
        public const int CommitWithin = 1_000;
        private readonly RedisConnection _connection;

        public Node(RedisServer redis, Func<CancellationToken, IAsyncEnumerable<string>> rows)
        {
            Proxy = ChaosProxy.Start(redis);
            _connection = new RedisConnection(new RedisOptions { Configuration = Proxy.Endpoint, ConnectTimeout = TimeSpan.FromMilliseconds(500), CommandTimeout = TimeSpan.FromSeconds(1) });
            var options = new GuardOptions
            {
                ExpectedKeys = 200,
                AuditShare = 0,
                Rebuild = TimeSpan.FromSeconds(1),
                MaxAge = TimeSpan.FromSeconds(30),
                CommitWithin = TimeSpan.FromMilliseconds(CommitWithin),
                Freshness = TimeSpan.FromMilliseconds(100),
            };
            Guard = new BloomGuard("law", options, new Source(rows), new RedisGuardJournal(_connection, "law"), TimeProvider.System, NullLogger.Instance);
            Guard.Start();
        }

        public ChaosProxy Proxy { get; }

        public BloomGuard Guard { get; }

        public async ValueTask DisposeAsync()
        {
            await Guard.DisposeAsync();
            await _connection.DisposeAsync();
            await Proxy.DisposeAsync();
        }
    }

    private sealed class Source(Func<CancellationToken, IAsyncEnumerable<string>> rows) : IGuardSource
    {
        public IAsyncEnumerable<string> ReadKeysAsync(CancellationToken cancellationToken) => rows(cancellationToken);
    }
}
