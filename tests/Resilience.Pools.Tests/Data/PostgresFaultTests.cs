using System.Data.Common;
using System.Diagnostics;
using Npgsql;
using Resilience.TestKit;

namespace Resilience.Pools.Tests.Data;

/// <summary>A server that goes away, kills what it has, or refuses logins, and a network that falls silent: through a proxy where the network has to fail.</summary>
public sealed class PostgresFaultTests(SharedPostgres shared)
{
    /// <summary>At night the stall has its full length and the bars of the design hold; by day a bound only tells an answer from a hang.</summary>
    private static readonly bool Nightly = Environment.GetEnvironmentVariable("NIGHTLY") == "1";

    [Fact]
    public async Task Run_AllBackendsTerminated_EveryWorkerFailsAtMostOnceAndGoesOn()
    {
        PostgresServer server = await shared.GetAsync();
        string database = await server.CreateDatabaseAsync();
        await using PooledDbDataSource source = Postgres.Source(database, new() { MaxSize = 8 });

        // A deadline that ends a query on a slow machine would count as a failure.
        var load = new PostgresLoad(source, workers: 8, TimeSpan.FromSeconds(Nightly ? 2 : 60));
        await load.UntilAsync(200);
        await using (var killer = new NpgsqlConnection(Postgres.Unpooled(server.ConnectionString)))
        {
            await killer.OpenAsync();
            await using NpgsqlCommand kill = new($"select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = '{new NpgsqlConnectionStringBuilder(database).Database}'", killer);
            await kill.ExecuteScalarAsync();
        }

        long before = load.Done;
        await load.UntilAsync(before + 500);
        await load.StopAsync();
        Assert.True(load.Failed <= 8, $"{load.Failed} queries failed, for 8 connections that were killed; the last: {load.LastFailure}");
        Within("the slowest request", load.Slowest, bar: 3);
    }

    [Fact]
    public async Task Run_ServerRestarts_NobodyWaitsBeyondTheDeadlineAndItRecoversWithinASecond()
    {
        await using PostgresServer server = await PostgresServer.StartNewAsync();
        var options = new PoolOptions { MaxSize = 8, MaxConcurrentCreates = 2 };
        int mostCreating = 0;
        var gauge = new CountingFactory(() => new NpgsqlConnection(Postgres.Unpooled(server.ConnectionString)), most => mostCreating = most);
        await using var pool = new ResourcePool<DbConnection>("restart", gauge, options);
        await using var source = new PooledDbDataSource(pool, () => new NpgsqlConnection(Postgres.Unpooled(server.ConnectionString)), ownsPool: false);
        var load = new PostgresLoad(source, workers: 16, TimeSpan.FromSeconds(1));
        await load.UntilAsync(200);
        await server.KillAsync();
        await Eventually.TrueAsync(() => pool.Snapshot().Backend == PoolBackendState.Down, "the circuit to open");

        // Known to be down: callers fail at once.
        long started = Stopwatch.GetTimestamp();
        await Assert.ThrowsAsync<PoolUnavailableException>(async () => await source.OpenConnectionAsync());
        Within("a refusal while the server is known to be down", Stopwatch.GetElapsedTime(started), bar: 0.5);
        await server.StartAsync();
        started = Stopwatch.GetTimestamp();
        long before = load.Done;
        await load.UntilAsync(before + 50);
        TimeSpan recovery = Stopwatch.GetElapsedTime(started);
        await load.StopAsync();
        Within("50 queries after the server's return", recovery, bar: 1);
        Within("the slowest request, with a deadline of 1 s", load.Slowest, bar: 1.5);
        Assert.InRange(mostCreating, 1, 2);
    }

    [Fact]
    public async Task Run_NetworkStalls_RequestsEndWithTheirDeadlineAndWorkGoesOnAfterwards()
    {
        PostgresServer server = await shared.GetAsync();
        await using ChaosProxy proxy = ChaosProxy.Start(server);
        var target = new NpgsqlConnectionStringBuilder(server.ConnectionString) { Pooling = false, Port = proxy.Port, Timeout = 1 };
        await using var source = new PooledDbDataSource("stall", () => new NpgsqlConnection(target.ConnectionString), new PoolOptions { MaxSize = 8, CreateTimeout = TimeSpan.FromSeconds(1), DestroyTimeout = TimeSpan.FromMilliseconds(500) });
        var load = new PostgresLoad(source, workers: 16, TimeSpan.FromMilliseconds(500), mixed: true);
        await load.UntilAsync(200);
        proxy.ToClient.Stalled = true;
        long failedBefore = load.Failed;
        if (Nightly)
        {
            await Task.Delay(TimeSpan.FromSeconds(30));
        }

        await Eventually.TrueAsync(() => load.Failed >= failedBefore + 32, "two failures a worker");
        proxy.Heal();
        long started = Stopwatch.GetTimestamp();
        long before = load.Done;
        await load.UntilAsync(before + 50);
        TimeSpan recovery = Stopwatch.GetElapsedTime(started);
        await load.StopAsync();
        Within("50 queries after the stall", recovery, bar: 1);
        Within("the slowest request, with a deadline of 0.5 s", load.Slowest, bar: 1);
        Assert.True(source.Pool.Snapshot().Open <= 8);
    }

    [Fact]
    public async Task Acquire_LoginsFail_TellsTheCauseAtOnce()
    {
        PostgresServer server = await shared.GetAsync();
        var wrong = new NpgsqlConnectionStringBuilder(server.ConnectionString) { Pooling = false, Database = "nowhere" };
        await using var source = new PooledDbDataSource("logins", () => new NpgsqlConnection(wrong.ConnectionString), new PoolOptions { AcquireTimeout = TimeSpan.FromMinutes(1), CreateTimeout = TimeSpan.FromMinutes(1), CreateBackoff = TimeSpan.FromMilliseconds(10), MaxCreateBackoff = TimeSpan.FromMilliseconds(50), BreakAfter = 2 });
        long started = Stopwatch.GetTimestamp();
        PoolUnavailableException exception = await Assert.ThrowsAsync<PoolUnavailableException>(async () => await source.OpenConnectionAsync());
        Assert.IsType<PostgresException>(exception.InnerException);
        Within("the answer, with an acquire timeout of a minute", Stopwatch.GetElapsedTime(started), bar: 2);
    }

    [Fact]
    public async Task Run_LoginsFailUnderLoad_NobodyWaitsBeyondTheDeadlineAndTheServerIsNotStormed()
    {
        PostgresServer server = await shared.GetAsync();
        string name = $"late_{Guid.NewGuid():N}";
        string wrong = new NpgsqlConnectionStringBuilder(server.ConnectionString) { Pooling = false, Database = name }.ConnectionString;
        int mostCreating = 0;
        var gauge = new CountingFactory(() => new NpgsqlConnection(wrong), most => mostCreating = most);
        await using var pool = new ResourcePool<DbConnection>("logins", gauge, new PoolOptions { MaxSize = 8, MaxConcurrentCreates = 2 });
        await using var source = new PooledDbDataSource(pool, () => new NpgsqlConnection(wrong), ownsPool: false);
        var load = new PostgresLoad(source, workers: 16, TimeSpan.FromSeconds(1));
        await Eventually.TrueAsync(() => pool.Snapshot().Backend == PoolBackendState.Down && load.Failed > 100, "the circuit to open");
        Assert.Equal(0, load.Done);
        long attemptsPerSecond = await AttemptsWithinASecondAsync(gauge);

        // 16 callers fail over and over; the server sees one login every 400 to 800 ms.
        Assert.InRange(attemptsPerSecond, 0, 10);
        await using (var admin = new NpgsqlConnection(Postgres.Unpooled(server.ConnectionString)))
        {
            await admin.OpenAsync();
            await Postgres.RunAsync(admin, $"create database {name}");
        }

        long started = Stopwatch.GetTimestamp();
        await load.UntilAsync(50);
        TimeSpan recovery = Stopwatch.GetElapsedTime(started);
        await load.StopAsync();
        Within("50 queries after logins work", recovery, bar: 1);
        Within("the slowest request, with a deadline of 1 s", load.Slowest, bar: 1.5);
        Assert.InRange(mostCreating, 1, 2);
    }

    private static async Task<long> AttemptsWithinASecondAsync(CountingFactory factory)
    {
        long before = factory.Attempts;
        long started = Stopwatch.GetTimestamp();
        await Task.Delay(TimeSpan.FromSeconds(1));
        return (long)((factory.Attempts - before) / Stopwatch.GetElapsedTime(started).TotalSeconds);
    }

    /// <summary>Prints what was measured; fails when it is beyond the bar at night, or beyond anything a busy machine explains.</summary>
    private static void Within(string what, TimeSpan took, double bar)
    {
        TestContext.Current.TestOutputHelper?.WriteLine($"{what}: {took.TotalMilliseconds:0} ms");
        Assert.True(took < TimeSpan.FromSeconds(Nightly ? bar : bar + 20), $"{what} took {took}");
    }

    private sealed class CountingFactory(Func<DbConnection> create, Action<int> most) : IResourceFactory<DbConnection>
    {
        private readonly DbConnectionFactory _inner = new(create, new PooledDbOptions());
        private int _creating;
        private int _most;
        private long _attempts;

        public long Attempts => Interlocked.Read(ref _attempts);

        public async ValueTask<DbConnection> CreateAsync(CancellationToken cancellationToken)
        {
            Interlocked.Increment(ref _attempts);
            int creating = Interlocked.Increment(ref _creating);
            most(_most = Math.Max(_most, creating));
            try
            {
                return await _inner.CreateAsync(cancellationToken);
            }
            finally
            {
                Interlocked.Decrement(ref _creating);
            }
        }

        public ValueTask<bool> ValidateAsync(DbConnection resource, CancellationToken cancellationToken) => _inner.ValidateAsync(resource, cancellationToken);

        public ValueTask DestroyAsync(DbConnection resource, CancellationToken cancellationToken) => _inner.DestroyAsync(resource, cancellationToken);

        public bool IsFatal(DbConnection resource, Exception exception) => _inner.IsFatal(resource, exception);
    }
}
