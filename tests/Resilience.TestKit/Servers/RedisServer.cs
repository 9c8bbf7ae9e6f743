namespace Resilience.TestKit;

/// <summary>A real redis-server that keeps nothing on disk, unless its configuration says otherwise.</summary>
public sealed class RedisServer : ServerProcess
{
    private readonly string _program;
    private readonly IReadOnlyList<string> _configuration;

    private RedisServer(string program, IReadOnlyList<string> configuration)
        : base("redis")
    {
        _program = program;
        _configuration = configuration;
    }

    private protected override Signal StopSignal => Signal.Terminate;

    private protected override string ReadyLine => "Ready to accept connections";

    /// <summary>Starts one; skips the test, or fails it in CI, where redis-server is not installed.</summary>
    /// <param name="configuration">
    /// Lines of redis.conf to add, such as <c>maxmemory 10mb</c>, <c>appendonly yes</c> or <c>user app on >secret ~app:* +@read +@write</c>.
    /// </param>
    public static async Task<RedisServer> StartNewAsync(params IReadOnlyList<string> configuration)
    {
        var server = new RedisServer(ServerAvailability.RequireRedis(), configuration);
        await server.FirstStartAsync();
        return server;
    }

    private protected override ChildProcess Launch()
    {
        string file = Path.Combine(Folder, "redis.conf");
        File.WriteAllLines(file, [$"port {Port}", "bind 127.0.0.1", $"dir {Folder}", "daemonize no", "save \"\"", "appendonly no", "databases 16", .. _configuration]);
        return ChildProcess.Start(_program, [file], new ChildProcessOptions { WorkingDirectory = Folder });
    }
}
