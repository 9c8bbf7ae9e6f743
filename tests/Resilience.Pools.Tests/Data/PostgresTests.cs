using System.Data;
using System.Data.Common;
using System.Diagnostics;
using Npgsql;
using Resilience.Context;
using Resilience.TestKit;

[assembly: AssemblyFixture(typeof(SharedPostgres))]

namespace Resilience.Pools.Tests.Data;

/// <summary>Against a real server, through a proxy where the network has to fail.</summary>
public sealed class PostgresTests(SharedPostgres shared)
{
    private static readonly bool Nightly = Environment.GetEnvironmentVariable("NIGHTLY") == "1";

    [Fact]
    public async Task DataSource_UsualWork_GoesThroughTheWrappers()
    {
        await using PooledDbDataSource source = Source(await (await shared.GetAsync()).CreateDatabaseAsync(), new() { MaxSize = 2 });
        await using (PooledDbConnection connection = await source.OpenConnectionAsync())
        {
            Assert.Equal(ConnectionState.Open, connection.State);
            await using DbCommand command = connection.CreateCommand();
            command.CommandText = "create table items (id int primary key, name text)";
            await command.ExecuteNonQueryAsync();
            await using DbTransaction transaction = await connection.BeginTransactionAsync();
            Assert.Same(connection, transaction.Connection);
            command.Transaction = transaction;
            command.CommandText = "insert into items values ($1, $2)";
            command.Parameters.Add(new NpgsqlParameter { Value = 1 });
            command.Parameters.Add(new NpgsqlParameter { Value = "one" });
            Assert.Equal(1, await command.ExecuteNonQueryAsync());
            await transaction.CommitAsync();
        }

        // A command of the source opens a connection of its own and closes it with its reader.
        await using (DbCommand command = source.CreateCommand("select name from items where id = 1"))
        {
            await using DbDataReader reader = await command.ExecuteReaderAsync();
            Assert.True(await reader.ReadAsync());
            Assert.Equal("one", reader.GetString(0));
        }

        // A command may be made before its connection is open, and the synchronous form works too.
        using (DbConnection connection = ((DbDataSource)source).CreateConnection())
        {
            using DbCommand command = connection.CreateCommand();
            command.CommandText = "select count(*) from items";
            Assert.Throws<InvalidOperationException>(() => command.ExecuteScalar());
            connection.Open();
            Assert.Equal(1L, command.ExecuteScalar());
        }

        PoolSnapshot snapshot = source.Pool.Snapshot();
        Assert.Equal((1, 0, 1L), (snapshot.Idle, snapshot.Leased, snapshot.Created));
    }

    [Fact]
    public async Task Close_ReaderOrTransactionOpen_TheConnectionIsNotReused()
    {
        await using PooledDbDataSource source = Source((await shared.GetAsync()).ConnectionString, new() { MaxSize = 1 });
        PooledDbConnection first = await source.OpenConnectionAsync();
        DbTransaction transaction = await first.BeginTransactionAsync();
        await first.CloseAsync();
        await Eventually.TrueAsync(() => source.Pool.Snapshot().Destroyed == 1, "the end of the connection in a transaction");
        PooledDbConnection second = await source.OpenConnectionAsync();
        DbCommand command = second.CreateCommand();
        command.CommandText = "select generate_series(1, 100000)";
        DbDataReader reader = await command.ExecuteReaderAsync();
        Assert.True(await reader.ReadAsync());
        await second.CloseAsync();
        await Eventually.TrueAsync(() => source.Pool.Snapshot().Destroyed == 2, "the end of the connection with a reader");
        await Assert.ThrowsAsync<InvalidOperationException>(() => command.ExecuteScalarAsync());
        await using PooledDbConnection third = await source.OpenConnectionAsync();
        Assert.Equal(1, await SelectAsync(third));
    }

    [Fact]
    public async Task ResetSql_SessionStateChanged_DoesNotReachTheNextUser()
    {
        await using PooledDbDataSource source = Source((await shared.GetAsync()).ConnectionString, new() { MaxSize = 1 }, new PooledDbOptions { ResetSql = "DISCARD ALL" });
        await using (PooledDbConnection connection = await source.OpenConnectionAsync())
        {
            await RunAsync(connection, "set application_name = 'mine'");
        }

        await using PooledDbConnection next = await source.OpenConnectionAsync();
        await using DbCommand command = next.CreateCommand();
        command.CommandText = "show application_name";
        Assert.NotEqual("mine", await command.ExecuteScalarAsync());
        Assert.Equal(1, source.Pool.Snapshot().Created);
    }

    [Fact]
    public async Task ConnectionString_Shown_HidesThePassword()
    {
        await using var source = new PooledDbDataSource("secret", () => new NpgsqlConnection("Host=db;Username=me;Password=hunter2;Pooling=false"));
        Assert.DoesNotContain("hunter2", source.ConnectionString, StringComparison.Ordinal);
        Assert.Contains("db", source.ConnectionString, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Run_AllBackendsTerminated_EveryWorkerFailsAtMostOnceAndGoesOn()
    {
        PostgresServer server = await shared.GetAsync();
        string database = await server.CreateDatabaseAsync();
        await using PooledDbDataSource source = Source(database, new() { MaxSize = 8 });
        var load = new Load(source, workers: 8, TimeSpan.FromSeconds(2));
        await load.UntilAsync(200);
        await using (var killer = new NpgsqlConnection(Unpooled(server.ConnectionString)))
        {
            await killer.OpenAsync();
            await using NpgsqlCommand kill = new($"select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = '{new NpgsqlConnectionStringBuilder(database).Database}'", killer);
            await kill.ExecuteScalarAsync();
        }

        long before = load.Done;
        await load.UntilAsync(before + 500);
        await load.StopAsync();
        Assert.True(load.Failed <= 8, $"{load.Failed} queries failed, for 8 connections that were killed; the last: {load.LastFailure}");
        Assert.True(load.Slowest < TimeSpan.FromSeconds(3), $"a request took {load.Slowest}");
    }

    [Fact]
    public async Task Run_ServerRestarts_NobodyWaitsBeyondTheDeadlineAndItRecoversWithinASecond()
    {
        await using PostgresServer server = await PostgresServer.StartNewAsync();
        var options = new PoolOptions { MaxSize = 8, MaxConcurrentCreates = 2 };
        int mostCreating = 0;
        var gauge = new CountingFactory(() => new NpgsqlConnection(Unpooled(server.ConnectionString)), most => mostCreating = most);
        await using var pool = new ResourcePool<DbConnection>("restart", gauge, options);
        await using var source = new PooledDbDataSource(pool, () => new NpgsqlConnection(Unpooled(server.ConnectionString)), ownsPool: false);
        var load = new Load(source, workers: 16, TimeSpan.FromSeconds(1));
        await load.UntilAsync(200);
        await server.KillAsync();
        await Eventually.TrueAsync(() => pool.Snapshot().Backend == PoolBackendState.Down, "the circuit to open");

        // Known to be down: callers fail at once.
        long started = Stopwatch.GetTimestamp();
        await Assert.ThrowsAsync<PoolUnavailableException>(async () => await source.OpenConnectionAsync());
        Assert.True(Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(0.5));
        await server.StartAsync();
        started = Stopwatch.GetTimestamp();
        long before = load.Done;
        await load.UntilAsync(before + 50);
        TimeSpan recovery = Stopwatch.GetElapsedTime(started);
        await load.StopAsync();
        Assert.True(recovery < TimeSpan.FromSeconds(1.5), $"recovery took {recovery}");
        Assert.True(load.Slowest < TimeSpan.FromSeconds(2), $"a request took {load.Slowest}");
        Assert.InRange(mostCreating, 1, 2);
    }

    [Fact]
    public async Task Run_NetworkStalls_RequestsEndWithTheirDeadlineAndWorkGoesOnAfterwards()
    {
        PostgresServer server = await shared.GetAsync();
        await using ChaosProxy proxy = ChaosProxy.Start(server);
        var target = new NpgsqlConnectionStringBuilder(server.ConnectionString) { Pooling = false, Port = proxy.Port, Timeout = 1 };
        await using var source = new PooledDbDataSource("stall", () => new NpgsqlConnection(target.ConnectionString), new PoolOptions { MaxSize = 8, CreateTimeout = TimeSpan.FromSeconds(1), DestroyTimeout = TimeSpan.FromMilliseconds(500) });
        var load = new Load(source, workers: 16, TimeSpan.FromMilliseconds(500));
        await load.UntilAsync(200);
        proxy.ToClient.Stalled = true;
        long failedBefore = load.Failed;
        await Task.Delay(TimeSpan.FromSeconds(Nightly ? 30 : 2));
        Assert.True(load.Failed > failedBefore);
        proxy.Heal();
        long started = Stopwatch.GetTimestamp();
        long before = load.Done;
        await load.UntilAsync(before + 50);
        TimeSpan recovery = Stopwatch.GetElapsedTime(started);
        await load.StopAsync();
        Assert.True(recovery < TimeSpan.FromSeconds(1.5), $"recovery took {recovery}");
        Assert.True(load.Slowest < TimeSpan.FromSeconds(1.5), $"a request took {load.Slowest}, its deadline was 0.5 s");
        Assert.True(source.Pool.Snapshot().Open <= 8);
    }

    [Fact]
    public async Task Acquire_LoginsFail_TellsTheCauseAtOnce()
    {
        PostgresServer server = await shared.GetAsync();
        var wrong = new NpgsqlConnectionStringBuilder(server.ConnectionString) { Pooling = false, Database = "nowhere" };
        await using var source = new PooledDbDataSource("logins", () => new NpgsqlConnection(wrong.ConnectionString), new PoolOptions { CreateBackoff = TimeSpan.FromMilliseconds(10), MaxCreateBackoff = TimeSpan.FromMilliseconds(50), BreakAfter = 2 });
        long started = Stopwatch.GetTimestamp();
        PoolUnavailableException exception = await Assert.ThrowsAsync<PoolUnavailableException>(async () => await source.OpenConnectionAsync());
        Assert.IsType<PostgresException>(exception.InnerException);
        Assert.True(Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(3), "it waited for its timeout though logins had failed");
    }

    private static string Unpooled(string connectionString) => new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false }.ConnectionString;

    private static PooledDbDataSource Source(string connectionString, PoolOptions options, PooledDbOptions? databaseOptions = null) =>
        new("postgres", () => new NpgsqlConnection(Unpooled(connectionString)), options, databaseOptions);

    private static async Task RunAsync(DbConnection connection, string sql)
    {
        await using DbCommand command = connection.CreateCommand();
#pragma warning disable CA2100 // the tests' own text
        command.CommandText = sql;
#pragma warning restore CA2100
        await command.ExecuteNonQueryAsync();
    }

    private static async Task<int> SelectAsync(DbConnection connection, CancellationToken token = default)
    {
        await using DbCommand command = connection.CreateCommand();
        command.CommandText = "select 1";
        return (int)(await command.ExecuteScalarAsync(token))!;
    }

    /// <summary>Workers that query under a request deadline, over and over.</summary>
    private sealed class Load
    {
        private readonly CancellationTokenSource _stop = new();
        private readonly Task[] _workers;
        private long _done;
        private long _failed;
        private long _slowest;

        public Load(PooledDbDataSource source, int workers, TimeSpan deadline) =>
            _workers = [.. Enumerable.Range(0, workers).Select(_ => Task.Run(() => WorkAsync(source, deadline)))];

        public long Done => Interlocked.Read(ref _done);

        public long Failed => Interlocked.Read(ref _failed);

        public TimeSpan Slowest => TimeSpan.FromTicks(Interlocked.Read(ref _slowest));

        public Exception? LastFailure { get; private set; }

        public Task UntilAsync(long done) => Eventually.TrueAsync(() => Done >= done, $"{done} queries, of which there are {Done}; the last failure: {LastFailure?.Message}");

        public async Task StopAsync()
        {
            await _stop.CancelAsync();
            await Task.WhenAll(_workers);
        }

        private async Task WorkAsync(PooledDbDataSource source, TimeSpan deadline)
        {
            while (!_stop.IsCancellationRequested)
            {
                long started = Stopwatch.GetTimestamp();
                try
                {
                    using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = deadline });
                    await using PooledDbConnection connection = await source.OpenConnectionAsync(scope.Token);
                    Assert.Equal(1, await SelectAsync(connection, scope.Token));
                    Interlocked.Increment(ref _done);
                }
                catch (Exception exception) when (exception is DbException or PoolException or OperationCanceledException or IOException)
                {
                    Interlocked.Increment(ref _failed);
                    LastFailure = exception;
                    await Task.Delay(5);
                }

                long took = Stopwatch.GetElapsedTime(started).Ticks;
                if (took > Interlocked.Read(ref _slowest))
                {
                    Interlocked.Exchange(ref _slowest, took);
                }
            }
        }
    }

    private sealed class CountingFactory(Func<DbConnection> create, Action<int> most) : IResourceFactory<DbConnection>
    {
        private readonly DbConnectionFactory _inner = new(create, new PooledDbOptions());
        private int _creating;
        private int _most;

        public async ValueTask<DbConnection> CreateAsync(CancellationToken cancellationToken)
        {
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
