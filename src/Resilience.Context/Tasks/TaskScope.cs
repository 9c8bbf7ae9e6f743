using System.Runtime.ExceptionServices;

namespace Resilience.Context;

/// <summary>
/// Tasks that belong together and end together: structured concurrency. What is run in a scope is joined or cancelled before the scope is
/// left; nothing runs on unseen.
/// </summary>
/// <remarks>
/// The tasks run on the thread pool in the flow of whoever started them, so they see the current request scope, whose end and deadline
/// cancel them. Open it with <c>await using</c>, run, then <see cref="JoinAsync"/>: disposing alone cancels what still runs. Thread-safe.
/// </remarks>
public sealed class TaskScope : IAsyncDisposable
{
    /// <summary>The longest that a timer of the platform takes.</summary>
    private static readonly TimeSpan LongestTimer = TimeSpan.FromMilliseconds(uint.MaxValue - 1);

    private readonly Lock _lock = new(); // guards all fields below
    private readonly TaskScopeMode _mode;
    private readonly TaskScopeOptions _options;
    private readonly CancellationTokenSource _source;
    private readonly CancellationToken _token;
    private readonly List<Exception> _failures = [];
    private Task? _winner;
    private TaskCompletionSource? _drained;
    private int _pending;
    private int _started;
    private bool _isClosed;
    private bool _isJoined;
    private bool _isDisposed;
    private bool _wasCancelled;

    private TaskScope(TaskScopeMode mode, TaskScopeOptions options)
    {
        _mode = mode;
        _options = options;
        _source = CancellationTokenSource.CreateLinkedTokenSource(RequestScope.Current?.Token ?? default, options.CancellationToken);
        _token = _source.Token;
    }

    private enum Outcome
    {
        Succeeded,
        Failed,
        Cancelled,
    }

    /// <summary>What the tasks are given: cancelled by the mode's rule, with the request scope, or when this scope is disposed.</summary>
    public CancellationToken Token => _token;

    /// <summary>The first task that succeeded; <see langword="null"/> before one has.</summary>
    public Task? Winner
    {
        get
        {
            lock (_lock)
            {
                return _winner;
            }
        }
    }

    /// <summary>How many tasks had not ended when disposing stopped waiting for them.</summary>
    public int Stragglers { get; private set; }

    /// <summary>Opens a scope.</summary>
    /// <param name="mode">What is made of the ends of the tasks; <see cref="TaskScopeMode.FailFast"/> by default.</param>
    /// <param name="options">More; defaults when <see langword="null"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">The join timeout is negative and not infinite.</exception>
    public static TaskScope Open(TaskScopeMode mode = TaskScopeMode.FailFast, TaskScopeOptions? options = null)
    {
        options ??= TaskScopeOptions.Default;
        if (options.JoinTimeout < TimeSpan.Zero && options.JoinTimeout != Timeout.InfiniteTimeSpan)
        {
            throw new ArgumentOutOfRangeException(nameof(options), options.JoinTimeout, $"{nameof(TaskScopeOptions.JoinTimeout)} must not be negative, unless it is infinite.");
        }

        return new TaskScope(mode, options);
    }

    /// <summary>Starts a task.</summary>
    /// <param name="work">The work; it is to observe the token.</param>
    /// <returns>The task, for who wants its end alone.</returns>
    /// <exception cref="InvalidOperationException">The scope has been joined or disposed.</exception>
    public Task Run(Func<CancellationToken, Task> work)
    {
        ArgumentNullException.ThrowIfNull(work);
        return Start(work, static async (work, token) =>
        {
            await work(token).ConfigureAwait(false);
            return true;
        });
    }

    /// <summary>Starts a task with a result.</summary>
    /// <typeparam name="T">The result.</typeparam>
    /// <param name="work">The work; it is to observe the token.</param>
    /// <returns>The task.</returns>
    /// <exception cref="InvalidOperationException">The scope has been joined or disposed.</exception>
    public Task<T> Run<T>(Func<CancellationToken, Task<T>> work)
    {
        ArgumentNullException.ThrowIfNull(work);
        return Start(work, static (work, token) => work(token));
    }

    /// <summary>Starts a task with a result from a lambda that captures nothing.</summary>
    /// <typeparam name="TState">What the work needs.</typeparam>
    /// <typeparam name="T">The result.</typeparam>
    /// <param name="state">Passed to the work.</param>
    /// <param name="work">The work; it is to observe the token.</param>
    /// <returns>The task.</returns>
    /// <exception cref="InvalidOperationException">The scope has been joined or disposed.</exception>
    public Task<T> Run<TState, T>(TState state, Func<TState, CancellationToken, Task<T>> work)
    {
        ArgumentNullException.ThrowIfNull(work);
        return Start(state, work);
    }

    /// <summary>Waits until all tasks have ended, and throws what the mode says. After it the scope takes no more tasks.</summary>
    /// <param name="cancellationToken">Gives up waiting; the tasks go on until the scope is disposed.</param>
    /// <exception cref="AggregateException">Failures, in the modes that collect them.</exception>
    /// <exception cref="OperationCanceledException">The tasks were cancelled from outside, or the wait was.</exception>
    public async Task JoinAsync(CancellationToken cancellationToken = default)
    {
        while (true)
        {
            await Drained().WaitAsync(cancellationToken).ConfigureAwait(false);
            lock (_lock)
            {
                // Somebody may have started another one meanwhile.
                if (_pending == 0)
                {
                    _isClosed = true;
                    _isJoined = true;
                    ThrowUnderLock();
                    return;
                }
            }
        }
    }

    /// <summary>Cancels what still runs and waits for it, at most for <see cref="TaskScopeOptions.JoinTimeout"/>.</summary>
    public async ValueTask DisposeAsync()
    {
        lock (_lock)
        {
            if (_isClosed && _drained is null && _pending == 0)
            {
                _source.Dispose();
                return;
            }

            _isClosed = true;
        }

        Cancel();
        await WaitForStragglersAsync().ConfigureAwait(false);
        Exception[] unseen;
        lock (_lock)
        {
            unseen = _isJoined ? [] : [.. _failures];
            _isJoined = true;
            _isDisposed = true;
        }

        foreach (Exception failure in unseen)
        {
            Monitor.TaskFailed(failure);
        }

        // A source that is cancelled may be disposed while stragglers hold its token: it stays cancelled, and the link to the request goes.
        _source.Dispose();
    }

    private ScopeMonitor Monitor => _options.Monitor ?? ScopeMonitor.Default;

    private async Task WaitForStragglersAsync()
    {
        try
        {
            TimeSpan timeout = _options.JoinTimeout <= LongestTimer ? _options.JoinTimeout : Timeout.InfiniteTimeSpan;
            await Drained().WaitAsync(timeout, _options.TimeProvider ?? TimeProvider.System).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            lock (_lock)
            {
                Stragglers = _pending;
            }

            if (Stragglers > 0)
            {
                ScopeLog.Stragglers(Monitor.Logger, Stragglers, _options.JoinTimeout.TotalMilliseconds);
                Monitor.Metrics.Failed("straggler");
            }
        }
    }

    private Task<T> Start<TState, T>(TState state, Func<TState, CancellationToken, Task<T>> work)
    {
        lock (_lock)
        {
            if (_isClosed)
            {
                throw new InvalidOperationException($"The task scope has been {(_isJoined ? "joined" : "disposed")} after {_started} task(s) and takes no more.");
            }

            _pending++;
            _started++;
        }

        var task = Task.Run(() => work(state, _token), CancellationToken.None);
        _ = WatchAsync(task);
        return task;
    }

    private async Task WatchAsync<T>(Task<T> task)
    {
        Exception? failure = null;
        Outcome outcome = Outcome.Succeeded;
        try
        {
            await task.ConfigureAwait(false);
        }
        catch (OperationCanceledException exception) when (_token.IsCancellationRequested)
        {
            outcome = Outcome.Cancelled;
            failure = exception;
        }
        catch (Exception exception)
        {
            // Kept for whoever joins.
            outcome = Outcome.Failed;
            failure = exception;
        }

        if (Record(task, outcome, failure, out bool isUnseen))
        {
            Cancel();
        }

        if (isUnseen)
        {
            Monitor.TaskFailed(failure!);
        }

        Leave();
    }

    /// <summary>Takes down how a task ended; true when the others are to be cancelled.</summary>
    private bool Record(Task task, Outcome outcome, Exception? failure, out bool isUnseen)
    {
        lock (_lock)
        {
            // A straggler's failure: nobody is left to join it.
            isUnseen = _isDisposed && outcome == Outcome.Failed;
            switch (outcome)
            {
                case Outcome.Succeeded:
                    bool isFirst = _winner is null;
                    _winner ??= task;
                    return isFirst && _mode == TaskScopeMode.FirstSuccess;
                case Outcome.Failed:
                    _failures.Add(failure!);
                    return _mode == TaskScopeMode.FailFast;
                default:
                    _wasCancelled = true;
                    return false;
            }
        }
    }

    private void Leave()
    {
        TaskCompletionSource? drained;
        lock (_lock)
        {
            _pending--;
            drained = _pending == 0 ? _drained : null;
        }

        drained?.TrySetResult();
    }

    private Task Drained()
    {
        lock (_lock)
        {
            if (_pending == 0)
            {
                return Task.CompletedTask;
            }

            if (_drained is null || _drained.Task.IsCompleted)
            {
                _drained = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            }

            return _drained.Task;
        }
    }

    private void ThrowUnderLock()
    {
        if (_mode == TaskScopeMode.FirstSuccess && _winner is not null)
        {
            return;
        }

        if (_failures.Count > 0)
        {
            if (_mode == TaskScopeMode.FailFast)
            {
                ExceptionDispatchInfo.Throw(_failures[0]);
            }

            throw new AggregateException(_failures);
        }

        if (_wasCancelled)
        {
            throw new OperationCanceledException("The tasks were cancelled before they had succeeded.", _token);
        }
    }

    private void Cancel()
    {
        try
        {
            _source.Cancel();
        }
        catch (AggregateException exception)
        {
            // Callbacks of strangers; the other tasks must still be joined.
            Monitor.CallbackFailed(exception);
        }
        catch (ObjectDisposedException)
        {
            // A straggler that fails after the scope was disposed: all has been cancelled already.
        }
    }
}
