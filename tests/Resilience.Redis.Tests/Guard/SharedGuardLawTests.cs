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
    private const int MinimumRows = 200;
    private static readonly bool IsNightly = Environment.GetEnvironmentVariable("NIGHTLY") == "1";
    private static readonly long Steps = IsNightly ? 100_000_000 : 1_000_000;

    /// <summary>How often each fault must have happened before the run may end, and when it is given up.</summary>
    private static readonly int Rounds = IsNightly ? 20 : 1;
    private static readonly TimeSpan Patience = IsNightly ? TimeSpan.FromHours(2) : TimeSpan.FromMinutes(5);

    private readonly ConcurrentDictionary<string, bool> _rows = new(StringComparer.Ordinal);
    private readonly List<string> _committed = []; // guarded by itself
    private readonly CancellationTokenSource _ending = new();
    private readonly Node[] _nodes = new Node[2];
    private readonly int[] _faults = new int[Enum.GetValues<Fault>().Length];
    private long _steps;
    private long _refusals;
    private long _unstored;
    private long _late;
    private int _next;

    private enum Fault
    {
        Cut,
        Pause,
        Restart,
        KillWithLoss,
        Rebuild,
    }

    private bool IsEnough => Volatile.Read(ref _steps) >= Steps && _rows.Count >= MinimumRows && Volatile.Read(ref _refusals) > 0 && _faults.All(count => Volatile.Read(in count) >= Rounds);

    [Fact]
    public async Task TwoNodes_InsertsRebuildsRestartsAndCuts_NoCommittedKeyIsRefused()
    {
        int seed = int.TryParse(Environment.GetEnvironmentVariable("STRESS_SEED"), out int given) ? given : Random.Shared.Next();
        TestContext.Current.TestOutputHelper?.WriteLine($"STRESS_SEED={seed}");
        await using RedisServer redis = await RedisServer.StartNewAsync();
        for (int i = 0; i < _nodes.Length; i++)
        {
            _nodes[i] = new Node(redis, Rows);
        }

        long end = Environment.TickCount64 + (long)Patience.TotalMilliseconds;
        var workers = new List<Task> { Task.Run(() => FaultsAsync(redis, new Random(seed))) };
        workers.AddRange(Enumerable.Range(0, 4).Select(i => Task.Run(() => WriteAsync(new Random(seed + 1 + i)))));
        workers.Add(Task.Run(() => ReadAsync(new Random(seed + 9))));
        while (!IsEnough && Environment.TickCount64 < end && workers.TrueForAll(worker => !worker.IsCompleted))
        {
            await Task.WhenAny([Task.Delay(50), .. workers]);
        }

        await _ending.CancelAsync();
        await Task.WhenAll(workers);
        string done = $"{_steps} steps, {_rows.Count} rows, {_refusals} right refusals, {_unstored} additions that failed, {_late} commits that came too late, faults {string.Join(", ", Enum.GetValues<Fault>().Select(fault => $"{fault} {_faults[(int)fault]}"))}";
        TestContext.Current.TestOutputHelper?.WriteLine(done);
        Assert.True(IsEnough, $"Too little happened within {Patience.TotalMinutes:0} min to prove anything: {done}.");
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
            long began = Environment.TickCount64;
            try
            {
                await _nodes[random.Next(_nodes.Length)].Guard.AddAsync(key, _ending.Token);
            }
            catch (Exception exception) when (exception is GuardJournalException or OperationCanceledException)
            {
                // Not committed, as the contract says.
                Interlocked.Increment(ref _unstored);
                continue;
            }

            await Task.Delay(random.Next(8) == 0 ? random.Next(Node.CommitWithin / 2) : 0);
            _rows[key] = true;
            if (Environment.TickCount64 - began > Node.CommitWithin)
            {
                // The machine stood still, and what is promised ends here: a commit that comes later than it may is none.
                _rows.TryRemove(key, out _);
                Interlocked.Increment(ref _late);
                continue;
            }

            // The moment of the commit is when a node that lags would be caught.
            MustExist(key);
            lock (_committed)
            {
                _committed.Add(key);
            }
        }
    }

    private void MustExist(string key)
    {
        for (int i = 0; i < _nodes.Length; i++)
        {
            Assert.True(_nodes[i].Guard.MayExist(key), $"node {i} refused the committed key {key}");
        }
    }

    /// <summary>Reads in bursts and lets the others run in between: what is to be caught happens in them.</summary>
    private async Task ReadAsync(Random random)
    {
        int burst = IsNightly ? 20_000 : 1_000;
        while (!_ending.IsCancellationRequested)
        {
            string[] keys;
            lock (_committed)
            {
                keys = [.. Enumerable.Range(0, _committed.Count == 0 ? 0 : 40).Select(i => i % 2 == 0 ? _committed[random.Next(_committed.Count)] : _committed[_committed.Count - 1 - random.Next(Math.Min(20, _committed.Count))])];
            }

            for (int i = 0; i < burst && keys.Length > 0; i += 2)
            {
                MustExist(keys[i / 2 % keys.Length]);
            }

            Interlocked.Add(ref _steps, keys.Length > 0 ? burst : 0);
            foreach (Node node in _nodes)
            {
                _refusals += node.Guard.MayExist($"invented:{random.Next()}") ? 0 : 1;
            }

            await Task.Delay(1, CancellationToken.None);
        }
    }

    private async Task FaultsAsync(RedisServer redis, Random random)
    {
        for (int next = 0; !_ending.IsCancellationRequested; next++)
        {
            await Task.Delay(random.Next(100, 900));
            int which = random.Next(_nodes.Length);
            Node node = _nodes[which];
            var fault = (Fault)(next % _faults.Length);
            switch (fault)
            {
                case Fault.Cut:
                    node.Proxy.RefusesNew = true;
                    node.Proxy.Cut();
                    await Task.Delay(random.Next(50, 600));
                    node.Proxy.RefusesNew = false;
                    break;
                case Fault.Pause:
                    redis.Pause();
                    await Task.Delay(random.Next(50, 600));
                    redis.Resume();
                    break;
                case Fault.Restart:
                    var fresh = new Node(redis, Rows);
                    _nodes[which] = fresh;
                    await node.DisposeAsync();
                    break;
                case Fault.KillWithLoss:
                    await redis.KillAsync(); // keeps nothing: the journal is lost
                    await redis.StartAsync();
                    await Task.Delay(Node.CommitWithin + 1_500);
                    break;
                default:
                    if (!await TryRebuildAsync(node))
                    {
                        continue;
                    }

                    break;
            }

            _faults[(int)fault]++;
        }
    }

    /// <summary>Rebuilds beside the schedule; in vain while Redis is away or its journal is younger than a commit may take.</summary>
    private async Task<bool> TryRebuildAsync(Node node)
    {
        try
        {
            while (!await node.Guard.RebuildAsync(_ending.Token))
            {
                await Task.Delay(50, _ending.Token);
            }

            return true;
        }
        catch (Exception)
        {
            return false; // the filter in force stays
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
