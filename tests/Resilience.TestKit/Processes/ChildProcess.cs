using System.Collections.Concurrent;
using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace Resilience.TestKit;

/// <summary>
/// A program that a test starts, listens to, signals and outlives: its output line by line, signals, its exit code. It ends with the
/// test host, even one that is killed, where the system can see to it. Thread-safe.
/// </summary>
public sealed partial class ChildProcess : IAsyncDisposable
{
    private static readonly TimeSpan DefaultTimeout = Eventually.Patience;
    private static readonly bool HasSetPriv = OperatingSystem.IsLinux() && Executables.Find("setpriv") is not null;

    private readonly Lock _lock = new(); // guards _lines, _waiters, _ended
    private readonly List<string> _lines = [];
    private readonly List<(Func<string, bool> Wanted, TaskCompletionSource<string> Seen)> _waiters = [];
    private readonly Process _process;
    private readonly string _name;
    private bool _ended;

    private ChildProcess(ProcessStartInfo start)
    {
        _name = Path.GetFileName(start.FileName == "setpriv" ? start.ArgumentList.SkipWhile(argument => argument != "--").ElementAt(1) : start.FileName);
        _process = new Process { StartInfo = start, EnableRaisingEvents = true };
        _process.OutputDataReceived += (_, line) => Add(line.Data);
        _process.ErrorDataReceived += (_, line) => Add(line.Data);
    }

    /// <summary>The process id.</summary>
    public int Id { get; private set; }

    /// <summary>Whether it has ended.</summary>
    public bool HasExited => _process.HasExited;

    /// <summary>A copy of all lines of its output and error output so far.</summary>
    public IReadOnlyList<string> Lines
    {
        get
        {
            lock (_lock)
            {
                return [.. _lines];
            }
        }
    }

    /// <summary>Starts an assembly with the <c>dotnet</c> that runs the test.</summary>
    /// <param name="assembly">The path of the .dll.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="options">How it is started.</param>
    public static ChildProcess StartDotnet(string assembly, IEnumerable<string> arguments, ChildProcessOptions? options = null)
    {
        if (!File.Exists(assembly))
        {
            throw new FileNotFoundException($"There is no {assembly}: is its project built in this configuration?", assembly);
        }

        string dotnet = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? Executables.Find("dotnet") ?? "dotnet";
        return Start(dotnet, ["exec", assembly, .. arguments], options);
    }

    /// <summary>Starts a program.</summary>
    /// <param name="program">Its path, or its name if it is on the PATH.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="options">How it is started.</param>
    /// <exception cref="Win32Exception">It cannot be started.</exception>
    public static ChildProcess Start(string program, IEnumerable<string> arguments, ChildProcessOptions? options = null)
    {
        options ??= new ChildProcessOptions();
        if (options.User is not null && !HasSetPriv)
        {
            throw new PlatformNotSupportedException($"Running {program} as {options.User} needs setpriv (package util-linux).");
        }

        List<string> command = [program, .. arguments];
        if (HasSetPriv)
        {
            string[] user = options.User is null ? [] : [$"--reuid={options.User}", $"--regid={options.User}", "--init-groups"];
            command = ["setpriv", .. user, $"--pdeathsig={options.DeathSignal}", "--", .. command];
        }

        var start = new ProcessStartInfo(command[0], command[1..])
        {
            WorkingDirectory = options.WorkingDirectory ?? "",
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        foreach ((string name, string? value) in options.Environment)
        {
            start.Environment[name] = value;
        }

        var child = new ChildProcess(start);
        Launcher.Run(child.Launch);
        return child;
    }

    /// <summary>Waits for a line of its output; lines that it wrote earlier count too.</summary>
    /// <param name="wanted">Whether a line is the one; called under a lock.</param>
    /// <param name="timeout">How long to wait; <see cref="Eventually.Patience"/> by default.</param>
    /// <returns>The line.</returns>
    /// <exception cref="TimeoutException">It did not come in time; the message has the output.</exception>
    /// <exception cref="InvalidOperationException">The process ended without it; the message has the output.</exception>
    public async Task<string> WaitForLineAsync(Func<string, bool> wanted, TimeSpan? timeout = null)
    {
        ArgumentNullException.ThrowIfNull(wanted);
        Task<string> seen;
        lock (_lock)
        {
            if (_lines.Find(line => wanted(line)) is { } line)
            {
                return line;
            }

            if (_ended)
            {
                throw EndedWithoutLine();
            }

            var source = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiters.Add((wanted, source));
            seen = source.Task;
        }

        try
        {
            return await seen.WaitAsync(timeout ?? DefaultTimeout);
        }
        catch (TimeoutException exception)
        {
            throw new TimeoutException($"{_name} did not write the line within {(timeout ?? DefaultTimeout).TotalSeconds:0.#} s. {Output()}", exception);
        }
    }

    /// <inheritdoc cref="WaitForLineAsync(Func{string, bool}, TimeSpan?)"/>
    /// <param name="part">What the line contains.</param>
    /// <param name="timeout">How long to wait; <see cref="Eventually.Patience"/> by default.</param>
    public Task<string> WaitForLineAsync(string part, TimeSpan? timeout = null) =>
        WaitForLineAsync(line => line.Contains(part, StringComparison.Ordinal), timeout);

    /// <summary>Writes a line to its standard input.</summary>
    /// <param name="line">The line.</param>
    public async Task WriteLineAsync(string line)
    {
        await _process.StandardInput.WriteLineAsync(line);
        await _process.StandardInput.FlushAsync();
    }

    /// <summary>Sends it a signal; does nothing if it has ended.</summary>
    /// <param name="signal">The signal.</param>
    public void Send(Signal signal)
    {
        if (!HasExited)
        {
            _ = kill(Id, (int)signal);
        }
    }

    /// <summary>Sends a signal to it and to all its descendants.</summary>
    /// <param name="signal">The signal.</param>
    public void SendToTree(Signal signal)
    {
        if (!HasExited)
        {
            foreach (int id in Tree(Id))
            {
                _ = kill(id, (int)signal);
            }
        }
    }

    /// <summary>Waits for its end and the end of its output.</summary>
    /// <param name="timeout">How long to wait; <see cref="Eventually.Patience"/> by default.</param>
    /// <returns>The exit code; 128 + the signal when a signal ended it.</returns>
    /// <exception cref="TimeoutException">It did not end in time; the message has the output.</exception>
    public async Task<int> WaitForExitAsync(TimeSpan? timeout = null)
    {
        try
        {
            await _process.WaitForExitAsync().WaitAsync(timeout ?? DefaultTimeout);
            return _process.ExitCode;
        }
        catch (TimeoutException exception)
        {
            throw new TimeoutException($"{_name} did not end within {(timeout ?? DefaultTimeout).TotalSeconds:0.#} s. {Output()}", exception);
        }
    }

    /// <summary>Kills it and all its descendants, and waits for the end.</summary>
    public async ValueTask DisposeAsync()
    {
        SendToTree(Signal.Kill);
        await WaitForExitAsync();
        _process.Dispose();
    }

    [LibraryImport("libc", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    private static partial int kill(int pid, int signal);

    private static List<int> Tree(int root)
    {
        var parents = new List<(int Id, int Parent)>();
        foreach (string folder in Directory.Exists("/proc") ? Directory.EnumerateDirectories("/proc") : [])
        {
            if (int.TryParse(Path.GetFileName(folder), CultureInfo.InvariantCulture, out int id) && ReadParent(folder) is { } parent)
            {
                parents.Add((id, parent));
            }
        }

        List<int> tree = [root];
        for (int i = 0; i < tree.Count; i++)
        {
            tree.AddRange(parents.Where(process => process.Parent == tree[i]).Select(process => process.Id));
        }

        return tree;
    }

    private static int? ReadParent(string folder)
    {
        try
        {
            // "pid (name) state ppid …"; the name may hold anything, so read from its closing parenthesis.
            string stat = File.ReadAllText(Path.Combine(folder, "stat"));
            return int.Parse(stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[1], CultureInfo.InvariantCulture);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null; // it ended while we looked
        }
    }

    private void Launch()
    {
        _process.Start();
        Id = _process.Id;
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
        _ = EndAsync();
    }

    private async Task EndAsync()
    {
        await _process.WaitForExitAsync();
        lock (_lock)
        {
            _ended = true;
            foreach ((_, TaskCompletionSource<string> seen) in _waiters)
            {
                seen.TrySetException(EndedWithoutLine());
            }

            _waiters.Clear();
        }
    }

    private void Add(string? line)
    {
        if (line is null)
        {
            return;
        }

        lock (_lock)
        {
            _lines.Add(line);
            for (int i = _waiters.Count - 1; i >= 0; i--)
            {
                if (_waiters[i].Wanted(line))
                {
                    _waiters[i].Seen.TrySetResult(line);
                    _waiters.RemoveAt(i);
                }
            }
        }
    }

    private InvalidOperationException EndedWithoutLine() => new($"{_name} ended with {_process.ExitCode} without writing the line. {Output()}");

    private string Output() => $"Output:{Environment.NewLine}{string.Join(Environment.NewLine, Lines.TakeLast(50))}";

    /// <summary>
    /// Starts children from one thread that lives as long as the process: the kernel's parent-death signal is bound to the thread that
    /// forked, and a pool thread that retires would take its children with it.
    /// </summary>
    private static class Launcher
    {
        private static readonly BlockingCollection<Action> Requests = [];

        static Launcher()
        {
            new Thread(() =>
            {
                foreach (Action request in Requests.GetConsumingEnumerable())
                {
                    request();
                }
            })
            { IsBackground = true, Name = "child launcher" }.UnsafeStart();
        }

        public static void Run(Action launch)
        {
            var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            Requests.Add(() =>
            {
                try
                {
                    launch();
                    done.SetResult();
                }
                catch (Exception exception)
                {
                    done.SetException(exception);
                }
            });
            done.Task.GetAwaiter().GetResult();
        }
    }
}
