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
    /// <summary>At night the stall has its full length and the bars of the design hold; by day a bound only tells an answer from a hang.</summary>
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
        Within("the slowest request, with a deadline of 2 s", load.Slowest, bar: 3);
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
        var load = new Load(source, workers: 16, TimeSpan.FromMilliseconds(500), mixed: true);
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
        Within("50 queries after the stall", recovery, bar: 1);
        Within("the slowest request, with a deadline of 0.5 s", load.Slowest, bar: 1);
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
        Within("the answer, with an acquire timeout of 3 s", Stopwatch.GetElapsedTime(started), bar: 2);
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
        var load = new Load(source, workers: 16, TimeSpan.FromSeconds(1));
        await Eventually.TrueAsync(() => pool.Snapshot().Backend == PoolBackendState.Down && load.Failed > 100, "the circuit to open");
        Assert.Equal(0, load.Done);
        long attemptsPerSecond = await AttemptsWithinASecondAsync(gauge);

        // 16 callers fail over and over; the server sees one login every 400 to 800 ms.
        Assert.InRange(attemptsPerSecond, 0, 10);
        await using (var admin = new NpgsqlConnection(Unpooled(server.ConnectionString)))
        {
            await admin.OpenAsync();
            await RunAsync(admin, $"create database {name}");
        }

        long started = Stopwatch.GetTimestamp();
        await load.UntilAsync(50);
        TimeSpan recovery = Stopwatch.GetElapsedTime(started);
        await load.StopAsync();
        Within("50 queries after logins work", recovery, bar: 1);
        Within("the slowest request, with a deadline of 1 s", load.Slowest, bar: 1.5);
        Assert.InRange(mostCreating, 1, 2);
    }

    /// <summary>Npgsql's release of a waiter when the connection that it waits for turns out to be broken.</summary>
    [Fact]
    public async Task Close_ConnectionWasKilled_TheWaiterGetsANewOne()
    {
        PostgresServer server = await shared.GetAsync();
        await using PooledDbDataSource source = Source(server.ConnectionString, new() { MaxSize = 1, AcquireTimeout = TimeSpan.FromMinutes(1) });
        PooledDbConnection killed = await source.OpenConnectionAsync();
        Task<PooledDbConnection> waiting = source.OpenConnectionAsync().AsTask();
        await Assert.ThrowsAnyAsync<DbException>(() => RunAsync(killed, "select pg_terminate_backend(pg_backend_pid())"));
        Assert.NotEqual(ConnectionState.Open, killed.State);
        await killed.CloseAsync();
        await using PooledDbConnection served = await waiting;
        Assert.Equal(1, await SelectAsync(served));
        Assert.Equal((2L, 1L), (source.Pool.Snapshot().Created, source.Pool.Snapshot().Destroyed));
    }

    /// <summary>DISCARD ALL would drop the statements that the provider believes to be prepared; what is recommended instead keeps them.</summary>
    [Fact]
    public async Task ResetSql_CommandsArePrepared_TheyGoOnWorking()
    {
        await using PooledDbDataSource source = Source((await shared.GetAsync()).ConnectionString, new() { MaxSize = 1 }, new PooledDbOptions { ResetSql = PooledDbOptions.PostgresReset });
        for (int i = 0; i < 3; i++)
        {
            await using PooledDbConnection connection = await source.OpenConnectionAsync();
            await using (DbCommand state = connection.CreateCommand())
            {
                state.CommandText = "show application_name";
                Assert.NotEqual("mine", await state.ExecuteScalarAsync());
                state.CommandText = "set application_name = 'mine'";
                await state.ExecuteNonQueryAsync();
            }

            await using DbCommand command = connection.CreateCommand();
            command.CommandText = "select 40 + 2";
            await command.PrepareAsync();
            Assert.Equal(42, await command.ExecuteScalarAsync());
        }

        Assert.Equal(1, source.Pool.Snapshot().Created);
    }

    [Fact]
    public async Task Batch_InATransaction_RunsOnTheLeasedConnection()
    {
        await using PooledDbDataSource source = Source((await shared.GetAsync()).ConnectionString, new() { MaxSize = 1 });
        await using (PooledDbConnection connection = await source.OpenConnectionAsync())
        {
            Assert.True(connection.CanCreateBatch);
            await using DbTransaction transaction = await connection.BeginTransactionAsync();
            await using DbBatch batch = connection.CreateBatch();
            batch.Transaction = transaction;
            foreach (string sql in new[] { "select 1", "select 2" })
            {
                DbBatchCommand command = batch.CreateBatchCommand();
                command.CommandText = sql;
                batch.BatchCommands.Add(command);
            }

            await using (DbDataReader reader = await batch.ExecuteReaderAsync())
            {
                Assert.True(await reader.ReadAsync());
                Assert.Equal(1, reader.GetInt32(0));
                Assert.True(await reader.NextResultAsync());
                Assert.True(await reader.ReadAsync());
                Assert.Equal(2, reader.GetInt32(0));
            }

            await transaction.CommitAsync();
            await connection.CloseAsync();
            await Assert.ThrowsAsync<InvalidOperationException>(() => batch.ExecuteScalarAsync());
        }

        Assert.Equal(1, source.Pool.Snapshot().Idle);
    }

    /// <summary>Npgsql's exercise of its pool: whatever users do to connections, the next one gets a good one and no place is lost.</summary>
    [Fact]
    public async Task Exercise_EverythingThatUsersDo_EachGetsAWorkingConnection()
    {
        await using PooledDbDataSource source = Source((await shared.GetAsync()).ConnectionString, new() { MaxSize = 4, AcquireTimeout = TimeSpan.FromMinutes(1) });
        await new StressRunner { Workers = 8 }.RunAsync(async worker =>
        {
            await using PooledDbConnection connection = await source.OpenConnectionAsync();
            Assert.Equal(1, await SelectAsync(connection));
            switch (worker.Random.Next(40))
            {
                case 0:
                    await Assert.ThrowsAnyAsync<DbException>(() => RunAsync(connection, "select pg_terminate_backend(pg_backend_pid())"));
                    break;
                case 1:
                    connection.Invalidate();
                    break;
                case 2:
                    await connection.BeginTransactionAsync();
                    break;
                case 3:
                    using (var soon = new CancellationTokenSource(TimeSpan.FromMilliseconds(5)))
                    {
                        await using DbCommand sleep = connection.CreateCommand();
                        sleep.CommandText = "select pg_sleep(10)";
                        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sleep.ExecuteNonQueryAsync(soon.Token));
                    }

                    break;
                case 4:
                    await Assert.ThrowsAnyAsync<DbException>(() => RunAsync(connection, "select * from nowhere"));
                    break;
                case < 15:
                    await using (DbTransaction transaction = await connection.BeginTransactionAsync())
                    {
                        await SelectAsync(connection);
                        if (worker.Random.Next(2) == 0)
                        {
                            await transaction.CommitAsync();
                        }
                    }

                    break;
            }
        });
        PooledDbConnection[] all = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => source.OpenConnectionAsync().AsTask())).WaitAsync(TimeSpan.FromMinutes(1));
        foreach (PooledDbConnection connection in all)
        {
            Assert.Equal(1, await SelectAsync(connection));
            await connection.DisposeAsync();
        }

        Assert.Equal(0, source.Pool.Snapshot().Leased);
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

        /// <summary>Of a mixed load a third each runs bare queries, queries in transactions, and readers.</summary>
        public Load(PooledDbDataSource source, int workers, TimeSpan deadline, bool mixed = false) =>
            _workers = [.. Enumerable.Range(0, workers).Select(worker => Task.Run(() => WorkAsync(source, deadline, mixed ? worker % 3 : 0)))];

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

        private async Task WorkAsync(PooledDbDataSource source, TimeSpan deadline, int kind)
        {
            while (!_stop.IsCancellationRequested)
            {
                long started = Stopwatch.GetTimestamp();
                try
                {
                    using RequestScope scope = RequestScope.Begin(new ScopeOptions { Timeout = deadline });
                    await using PooledDbConnection connection = await source.OpenConnectionAsync(scope.Token);
                    await (kind switch
                    {
                        1 => TransactAsync(connection, scope.Token),
                        2 => ReadAsync(connection, scope.Token),
                        _ => SelectAsync(connection, scope.Token),
                    });
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

    private static async Task TransactAsync(PooledDbConnection connection, CancellationToken token)
    {
        await using DbTransaction transaction = await connection.BeginTransactionAsync(token);
        Assert.Equal(1, await SelectAsync(connection, token));
        await transaction.CommitAsync(token);
    }

    /// <summary>More rows than come at once, so that the network is waited for between them.</summary>
    private static async Task ReadAsync(PooledDbConnection connection, CancellationToken token)
    {
        await using DbCommand command = connection.CreateCommand();
        command.CommandText = "select repeat('x', 1000) from generate_series(1, 200)";
        await using DbDataReader reader = await command.ExecuteReaderAsync(token);
        int rows = 0;
        while (await reader.ReadAsync(token))
        {
            rows++;
        }

        Assert.Equal(200, rows);
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
