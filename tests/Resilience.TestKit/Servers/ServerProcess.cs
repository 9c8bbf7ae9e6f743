namespace Resilience.TestKit;

/// <summary>
/// A real server on a loopback port of its own that a test can stop, kill, freeze and start again on the same port. Calls that change
/// its state are made one at a time; everything else is thread-safe. Disposing kills it and deletes its files.
/// </summary>
public abstract class ServerProcess : IAsyncDisposable
{
    private const int StartAttempts = 5;

    private readonly ServerFolder _folder;
    private ChildProcess? _process;

    private protected ServerProcess(string purpose)
    {
        _folder = new ServerFolder(purpose);
        Port = FreePort.Next();
    }

    /// <summary>The loopback port; the same over restarts.</summary>
    public int Port { get; private set; }

    /// <summary>Host and port, such as <c>127.0.0.1:20311</c>.</summary>
    public string Endpoint => $"127.0.0.1:{Port}";

    /// <summary>Whether its process lives, frozen or not.</summary>
    public bool IsRunning => _process is { HasExited: false };

    /// <summary>What it has written since it was last started, for a failing test's message.</summary>
    public IReadOnlyList<string> Output => _process?.Lines ?? [];

    private protected string Folder => _folder.Path;

    private protected abstract Signal StopSignal { get; }

    private protected abstract string ReadyLine { get; }

    /// <summary>Starts it again after a stop or a kill, and waits until it accepts connections. Does nothing while it runs.</summary>
    public async Task StartAsync()
    {
        if (IsRunning)
        {
            return;
        }

        if (_process is not null)
        {
            await _process.DisposeAsync();
        }

        _process = Launch();
        await _process.WaitForLineAsync(ReadyLine);
    }

    /// <summary>Stops it as an operator would, and waits for its end.</summary>
    public Task StopAsync() => EndAsync(process => process.Send(StopSignal));

    /// <summary>Kills it with all its children, as the kernel does when memory is out, and waits for its end.</summary>
    public Task KillAsync() => EndAsync(process => process.SendToTree(Signal.Kill));

    /// <summary>Stops and starts it.</summary>
    public async Task RestartAsync()
    {
        await StopAsync();
        await StartAsync();
    }

    /// <summary>Freezes it: connections stay open and new ones are taken by the kernel, but nothing answers.</summary>
    public void Pause() => _process?.SendToTree(Signal.Stop);

    /// <summary>Goes on after <see cref="Pause"/>.</summary>
    public void Resume() => _process?.SendToTree(Signal.Continue);

    /// <summary>Kills it and deletes its files.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_process is not null)
        {
            await _process.DisposeAsync();
        }

        _folder.Dispose();
        GC.SuppressFinalize(this);
    }

    private protected abstract ChildProcess Launch();

    /// <summary>The first start: another process may take the port between its choice and the server's bind, so a few are tried.</summary>
    private protected async Task FirstStartAsync()
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                await StartAsync();
                return;
            }
            catch (InvalidOperationException) when (attempt < StartAttempts && Output.Any(line => line.Contains("ddress already in use", StringComparison.Ordinal)))
            {
                Port = FreePort.Next();
            }
            catch
            {
                await DisposeAsync();
                throw;
            }
        }
    }

    private async Task EndAsync(Action<ChildProcess> end)
    {
        if (_process is { HasExited: false } process)
        {
            process.SendToTree(Signal.Continue); // a frozen process does not see a polite signal
            end(process);
            await process.WaitForExitAsync();
        }
    }
}
