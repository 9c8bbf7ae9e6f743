using Npgsql;

namespace Resilience.TestKit;

/// <summary>
/// A real PostgreSQL with a cluster of its own in a temporary folder, not durable, so quick. Under root it runs as the user
/// <c>postgres</c>, because it refuses to run as root. Everybody on loopback is the superuser <c>postgres</c> without a password.
/// </summary>
public sealed class PostgresServer : ServerProcess
{
    private const string Superuser = "postgres";

    private readonly string _programs;
    private readonly string? _user;
    private readonly IReadOnlyList<string> _settings;
    private int _databases;

    private PostgresServer(string programs, string? user, IReadOnlyList<string> settings)
        : base("postgres")
    {
        _programs = programs;
        _user = user;
        _settings = settings;
    }

    /// <summary>How to connect to the database <c>postgres</c>; add <c>Pooling</c> and limits with a builder.</summary>
    public string ConnectionString => ConnectionStringTo("postgres");

    private protected override Signal StopSignal => Signal.Interrupt; // "fast": ends sessions, does not wait for them

    private protected override string ReadyLine => "database system is ready to accept connections";

    private string Data => Path.Combine(Folder, "data");

    /// <summary>Starts one; skips the test, or fails it in CI, where PostgreSQL is not installed.</summary>
    /// <param name="settings">Settings to add, such as <c>max_connections=20</c>.</param>
    public static async Task<PostgresServer> StartNewAsync(params IReadOnlyList<string> settings)
    {
        string programs = ServerAvailability.RequirePostgres();
        var server = new PostgresServer(programs, Environment.IsPrivilegedProcess && OperatingSystem.IsLinux() ? FindUser() : null, settings);
        await server.CreateClusterAsync();
        await server.FirstStartAsync();
        return server;
    }

    /// <summary>Makes a new, empty database and tells how to connect to it, so that tests on a shared server do not meet.</summary>
    public async Task<string> CreateDatabaseAsync()
    {
        string name = $"test{Interlocked.Increment(ref _databases)}";
        var builder = new NpgsqlConnectionStringBuilder(ConnectionString) { Pooling = false };
        await using var connection = new NpgsqlConnection(builder.ConnectionString);
        await connection.OpenAsync();
        await using NpgsqlCommand command = connection.CreateCommand();
#pragma warning disable CA2100 // the name is a counter of our own
        command.CommandText = $"CREATE DATABASE {name}";
#pragma warning restore CA2100
        await command.ExecuteNonQueryAsync();
        return ConnectionStringTo(name);
    }

    private protected override ChildProcess Launch()
    {
        string[] settings =
        [
            "listen_addresses=127.0.0.1", $"port={Port}", $"unix_socket_directories={Folder}",
            "fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off", "shared_buffers=32MB", "max_connections=200",
            .. _settings,
        ];
        return Start("postgres", ["-D", Data, .. settings.SelectMany(setting => new[] { "-c", setting })]);
    }

    private static string FindUser() =>
        File.ReadLines("/etc/passwd").Select(line => line.Split(':')[0]).Intersect([Superuser, "nobody"]).OrderByDescending(user => user).FirstOrDefault()
            ?? throw new PlatformNotSupportedException("PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody to run it as.");

    private async Task CreateClusterAsync()
    {
        if (_user is not null)
        {
            await RunAsync(ChildProcess.Start("chown", [_user, Folder]));
        }

        await RunAsync(Start("initdb", ["-D", Data, "-U", Superuser, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions"]));
    }

    private static async Task RunAsync(ChildProcess child)
    {
        await using (child)
        {
            if (await child.WaitForExitAsync() != 0)
            {
                throw new InvalidOperationException($"PostgreSQL's cluster could not be made: {string.Join(Environment.NewLine, child.Lines)}");
            }
        }
    }

    // Killed at once when the test host dies ("immediate"): it cleans up its shared memory, which a plain kill leaves behind.
    private ChildProcess Start(string program, IEnumerable<string> arguments) =>
        ChildProcess.Start(Path.Combine(_programs, program), arguments, new ChildProcessOptions { User = _user, WorkingDirectory = Folder, DeathSignal = "QUIT" });

    private string ConnectionStringTo(string database) => $"Host=127.0.0.1;Port={Port};Username={Superuser};Database={database}";
}
