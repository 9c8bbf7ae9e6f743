namespace Resilience.TestKit;

/// <summary>
/// One server for all tests of an assembly, started by the first test that asks. Declare <c>[assembly: AssemblyFixture(typeof(SharedRedis))]</c>
/// and take the fixture as a constructor parameter. It starts on demand and not as the fixture is made, because only inside a test
/// can a missing server be a skip. Thread-safe.
/// </summary>
/// <typeparam name="TServer">The server.</typeparam>
public abstract class SharedServer<TServer> : IAsyncDisposable
    where TServer : ServerProcess
{
    private readonly Lock _lock = new(); // guards _server
    private readonly Func<Task<TServer>> _start;
    private Task<TServer>? _server;

    private protected SharedServer(Func<Task<TServer>> start) => _start = start;

    /// <summary>The server, running; skips the test, or fails it in CI, where it is not installed.</summary>
    public Task<TServer> GetAsync()
    {
        lock (_lock)
        {
            return _server ??= _start();
        }
    }

    /// <summary>Ends the server if any test asked for it.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_server is { IsCompletedSuccessfully: true })
        {
            await (await _server).DisposeAsync();
        }

        GC.SuppressFinalize(this);
    }
}
