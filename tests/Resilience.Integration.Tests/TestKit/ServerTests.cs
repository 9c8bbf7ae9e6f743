using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Npgsql;
using Resilience.TestKit;
using Xunit.Sdk;

[assembly: AssemblyFixture(typeof(SharedRedis))]
[assembly: AssemblyFixture(typeof(SharedPostgres))]

namespace Resilience.Integration.Tests.TestKit;

public sealed class ServerTests(SharedRedis sharedRedis, SharedPostgres sharedPostgres)
{
    [Fact]
    public async Task Redis_Shared_IsOneServer()
    {
        RedisServer redis = await sharedRedis.GetAsync();

        Assert.Same(redis, await sharedRedis.GetAsync());
        Assert.Equal("+PONG", await AskAsync(redis.Port, "PING"));
    }

    [Fact]
    public async Task Redis_KilledStoppedAndStarted_ComesBackEmptyOnTheSamePort()
    {
        await using RedisServer redis = await RedisServer.StartNewAsync();
        int port = redis.Port;
        Assert.Equal("+OK", await AskAsync(port, "SET a 1"));

        await redis.KillAsync();
        Assert.False(redis.IsRunning);
        await Assert.ThrowsAsync<SocketException>(() => AskAsync(port, "PING"));
        await redis.StartAsync();
        Assert.Equal("$-1", await AskAsync(port, "GET a"));
        await redis.RestartAsync();
        Assert.Equal("+PONG", await AskAsync(port, "PING"));
        Assert.Equal(port, redis.Port);
    }

    [Fact]
    public async Task Redis_Paused_AnswersOnceResumed()
    {
        await using RedisServer redis = await RedisServer.StartNewAsync();

        redis.Pause();
        Task<string> answer = AskAsync(redis.Port, "PING");
        Assert.NotSame(answer, await Task.WhenAny(answer, Task.Delay(100, TestContext.Current.CancellationToken)));
        redis.Resume();

        Assert.Equal("+PONG", await answer);
    }

    [Fact]
    public async Task Redis_ConfigurationLines_AreUsed()
    {
        await using RedisServer redis = await RedisServer.StartNewAsync("user app on >secret ~app:* +get", "maxmemory 10mb");

        Assert.StartsWith("-WRONGPASS", await AskAsync(redis.Port, "AUTH app wrong"), StringComparison.Ordinal);
        Assert.Equal("+OK", await AskAsync(redis.Port, "AUTH app secret"));
    }

    [Fact]
    public async Task Redis_WrongConfiguration_FailsWithItsOutput()
    {
        ServerAvailability.RequireRedis();

        var exception = await Assert.ThrowsAsync<InvalidOperationException>(() => RedisServer.StartNewAsync("no-such-setting 1"));

        Assert.Contains("no-such-setting", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Postgres_Databases_AreSeparate()
    {
        PostgresServer postgres = await sharedPostgres.GetAsync();

        string first = await postgres.CreateDatabaseAsync(), second = await postgres.CreateDatabaseAsync();

        Assert.Equal(1L, await QueryAsync(first, "CREATE TABLE t(); SELECT count(*) FROM pg_tables WHERE tablename = 't'"));
        Assert.Equal(0L, await QueryAsync(second, "SELECT count(*) FROM pg_tables WHERE tablename = 't'"));
    }

    [Fact]
    public async Task Postgres_KilledPausedAndRestarted_ComesBack()
    {
        await using PostgresServer postgres = await PostgresServer.StartNewAsync("max_connections=17");
        Assert.Equal("17", await QueryAsync(postgres.ConnectionString, "SHOW max_connections"));
        await postgres.KillAsync();
        await Assert.ThrowsAsync<NpgsqlException>(() => QueryAsync(postgres.ConnectionString, "SELECT 1"));
        await postgres.StartAsync();
        Assert.Equal(1, await QueryAsync(postgres.ConnectionString, "SELECT 1"));
        await postgres.RestartAsync();

        postgres.Pause();
        Task<object?> answer = QueryAsync(postgres.ConnectionString, "SELECT 2");
        Assert.NotSame(answer, await Task.WhenAny(answer, Task.Delay(100, TestContext.Current.CancellationToken)));
        postgres.Resume();

        Assert.Equal(2, await answer);
    }

    [Fact]
    public void Require_ServerMissing_SkipsOnALaptopAndFailsInCI()
    {
        string expected = ServerAvailability.IsContinuousIntegration ? nameof(FailException) : nameof(SkipException);

        Exception? seen = null;
        try
        {
            ServerAvailability.Require(null, "memcached", "memcached");
        }
        catch (Exception exception)
        {
            seen = exception; // Record.Exception lets a skip through
        }

        Assert.Equal(expected, seen?.GetType().Name);
        Assert.Contains("Install the package memcached", seen?.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task DeadTestHost_LeavesNoServerBehind()
    {
        ServerAvailability.Require(OperatingSystem.IsLinux() ? "" : null, "Linux", "linux");
        string redis = ServerAvailability.RequireRedis();

        // A shell stands for the test host: its child asks for the kernel's signal in the way every server here does.
        await using ChildProcess host = ChildProcess.Start("bash", ["-c", $"setpriv --pdeathsig=KILL -- {redis} --port {FreePort.Next()} --save '' & echo child $!; wait"]);
        int child = int.Parse((await host.WaitForLineAsync("child "))["child ".Length..]);
        await host.WaitForLineAsync("Ready to accept connections");

        host.Send(Signal.Kill);

        await WaitForEndAsync(child);
    }

    private static async Task WaitForEndAsync(int id)
    {
        Process process;
        try
        {
            process = Process.GetProcessById(id);
        }
        catch (ArgumentException)
        {
            return;
        }

        using (process)
        {
            await process.WaitForExitAsync(TestContext.Current.CancellationToken).WaitAsync(Eventually.Patience);
        }
    }

    private static async Task<string> AskAsync(int port, string command)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, port);
        await using NetworkStream stream = client.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes(command + "\r\n"));
        using var reader = new StreamReader(stream);
        return await reader.ReadLineAsync() ?? "";
    }

    private static async Task<object?> QueryAsync(string connectionString, string sql)
    {
        await using var connection = new NpgsqlConnection(connectionString + ";Pooling=false");
        await connection.OpenAsync();
        await using NpgsqlCommand command = connection.CreateCommand();
#pragma warning disable CA2100 // constants of this class
        command.CommandText = sql;
#pragma warning restore CA2100
        return await command.ExecuteScalarAsync();
    }
}
