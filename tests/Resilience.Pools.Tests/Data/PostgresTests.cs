using System.Data;
using System.Data.Common;
using Npgsql;
using Resilience.TestKit;

[assembly: AssemblyFixture(typeof(SharedPostgres))]

namespace Resilience.Pools.Tests.Data;

/// <summary>What users do to connections, against a real server.</summary>
public sealed class PostgresTests(SharedPostgres shared)
{
    [Fact]
    public async Task DataSource_UsualWork_GoesThroughTheWrappers()
    {
        await using PooledDbDataSource source = Postgres.Source(await (await shared.GetAsync()).CreateDatabaseAsync(), new() { MaxSize = 2 });
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
        await using PooledDbDataSource source = Postgres.Source((await shared.GetAsync()).ConnectionString, new() { MaxSize = 1 });
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
        Assert.Equal(1, await Postgres.SelectAsync(third));
    }

    [Fact]
    public async Task ResetSql_SessionStateChanged_DoesNotReachTheNextUser()
    {
        await using PooledDbDataSource source = Postgres.Source((await shared.GetAsync()).ConnectionString, new() { MaxSize = 1 }, new PooledDbOptions { ResetSql = "DISCARD ALL" });
        await using (PooledDbConnection connection = await source.OpenConnectionAsync())
        {
            await Postgres.RunAsync(connection, "set application_name = 'mine'");
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

    /// <summary>Npgsql's release of a waiter when the connection that it waits for turns out to be broken.</summary>
    [Fact]
    public async Task Close_ConnectionWasKilled_TheWaiterGetsANewOne()
    {
        PostgresServer server = await shared.GetAsync();
        await using PooledDbDataSource source = Postgres.Source(server.ConnectionString, new() { MaxSize = 1, AcquireTimeout = TimeSpan.FromMinutes(1) });
        PooledDbConnection killed = await source.OpenConnectionAsync();
        Task<PooledDbConnection> waiting = source.OpenConnectionAsync().AsTask();
        await Assert.ThrowsAnyAsync<DbException>(() => Postgres.RunAsync(killed, "select pg_terminate_backend(pg_backend_pid())"));
        Assert.NotEqual(ConnectionState.Open, killed.State);
        await killed.CloseAsync();
        await using PooledDbConnection served = await waiting;
        Assert.Equal(1, await Postgres.SelectAsync(served));
        Assert.Equal((2L, 1L), (source.Pool.Snapshot().Created, source.Pool.Snapshot().Destroyed));
    }

    /// <summary>DISCARD ALL would drop the statements that the provider believes to be prepared; what is recommended instead keeps them.</summary>
    [Fact]
    public async Task ResetSql_CommandsArePrepared_TheyGoOnWorking()
    {
        await using PooledDbDataSource source = Postgres.Source((await shared.GetAsync()).ConnectionString, new() { MaxSize = 1 }, new PooledDbOptions { ResetSql = PooledDbOptions.PostgresReset });
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
        await using PooledDbDataSource source = Postgres.Source((await shared.GetAsync()).ConnectionString, new() { MaxSize = 1 });
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
        await using PooledDbDataSource source = Postgres.Source((await shared.GetAsync()).ConnectionString, new() { MaxSize = 4, AcquireTimeout = TimeSpan.FromMinutes(1) });
        await new StressRunner { Workers = 8 }.RunAsync(async worker =>
        {
            await using PooledDbConnection connection = await source.OpenConnectionAsync();
            Assert.Equal(1, await Postgres.SelectAsync(connection));
            switch (worker.Random.Next(40))
            {
                case 0:
                    await Assert.ThrowsAnyAsync<DbException>(() => Postgres.RunAsync(connection, "select pg_terminate_backend(pg_backend_pid())"));
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
                    await Assert.ThrowsAnyAsync<DbException>(() => Postgres.RunAsync(connection, "select * from nowhere"));
                    break;
                case < 15:
                    await using (DbTransaction transaction = await connection.BeginTransactionAsync())
                    {
                        await Postgres.SelectAsync(connection);
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
            Assert.Equal(1, await Postgres.SelectAsync(connection));
            await connection.DisposeAsync();
        }

        Assert.Equal(0, source.Pool.Snapshot().Leased);
    }
}
