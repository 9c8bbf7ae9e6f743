using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Threading.Channels;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Resilience.Context;

/// <summary>
/// A bounded queue of work that outlives the request which asked for it. Each item runs in a request scope of its own, made from the
/// snapshot, with a DI scope of its own and a trace that is linked to the request's, in a flow that carries nothing of the request.
/// </summary>
/// <remarks>
/// When the host stops, the queue takes no more, drains, then cancels what is left, waits a grace, and hands what did not get done to the
/// abandonment handler: what was accepted is what was run and what was abandoned, always. Thread-safe.
/// </remarks>
public sealed class BackgroundWorkQueue : IHostedService, IDisposable
{
    private static readonly ActivitySource Activities = new(ScopeMetrics.MeterName);

    private readonly Channel<WorkItem> _channel;
    private readonly Func<BackgroundQueueSettings> _settings;
    private readonly IServiceScopeFactory _services;
    private readonly ScopeMonitor _monitor;
    private readonly TimeProvider _clock;
    private readonly bool _checksClosures;
    private readonly QueueFullMode _whenFull;
    private readonly int _capacity;
    private readonly int _workerCount;
    private readonly CancellationTokenSource _shutdown = new();
    private readonly Lock _lock = new(); // guards _running, _workers and _isStopping
    private readonly HashSet<WorkItem> _running = [];
    private readonly WorkLedger _ledger;
    private Task[] _workers = [];
    private bool _isStopping;

    /// <summary>Makes a queue. It runs nothing before <see cref="StartAsync"/>, which the host calls.</summary>
    /// <param name="name">Its name: DI key, metric tag and part of the configuration path.</param>
    /// <param name="settings">Gives the settings in force; capacity, workers and mode are read once.</param>
    /// <param name="services">Makes the DI scope of each item.</param>
    /// <param name="monitor">What watches the scopes of the items.</param>
    /// <param name="onAbandoned">Takes work that was accepted and not run to its end. It must be quick; nothing by default.</param>
    /// <param name="timeProvider">The clock; the system's by default.</param>
    /// <param name="checkClosures">Whether to refuse lambdas that capture something of a request; meant for development.</param>
    public BackgroundWorkQueue(string name, Func<BackgroundQueueSettings> settings, IServiceScopeFactory services, ScopeMonitor? monitor = null, Action<AbandonedWork>? onAbandoned = null, TimeProvider? timeProvider = null, bool checkClosures = false)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(settings);
        ArgumentNullException.ThrowIfNull(services);
        Name = name;
        _settings = settings;
        _services = services;
        _monitor = monitor ?? ScopeMonitor.Default;
        _ledger = new WorkLedger(name, _monitor, onAbandoned);
        _clock = timeProvider ?? TimeProvider.System;
        _checksClosures = checkClosures;
        BackgroundQueueSettings start = settings();
        (_whenFull, _capacity, _workerCount) = (start.WhenFull, start.Capacity, start.Workers);
        _channel = Channel.CreateBounded<WorkItem>(
            new BoundedChannelOptions(_capacity)
            {
                FullMode = _whenFull == QueueFullMode.DropOldest ? BoundedChannelFullMode.DropOldest : BoundedChannelFullMode.Wait,
            },
            dropped => _ledger.Abandon(dropped, WorkAbandonReason.Dropped));
    }

    /// <summary>The queue's name.</summary>
    public string Name { get; }

    /// <summary>How many items wait for a worker.</summary>
    public int Waiting => _channel.Reader.Count;

    /// <summary>How many items run.</summary>
    public int Running
    {
        get
        {
            lock (_lock)
            {
                return _running.Count;
            }
        }
    }

    /// <summary>How many items were accepted.</summary>
    public long Accepted => _ledger.Accepted;

    /// <summary>How many items were run to their end, failed ones included.</summary>
    public long Run => _ledger.Run;

    /// <summary>How many items were abandoned.</summary>
    public long Abandoned => _ledger.Abandoned;

    /// <summary>Hands work over.</summary>
    /// <typeparam name="TState">What the work needs: plain values.</typeparam>
    /// <param name="snapshot">What goes along of the request; its deadline counts while the work waits, too.</param>
    /// <param name="state">Passed to the work.</param>
    /// <param name="work">The work: a static lambda, given services of its own scope, the state and a token.</param>
    /// <param name="cancellationToken">Gives up waiting for room; the current request scope's end and deadline do so too.</param>
    /// <exception cref="WorkRefusedException">The queue is full and does not wait, or has stopped.</exception>
    /// <exception cref="ArgumentException">The state, or what the lambda captures, belongs to a request.</exception>
    /// <exception cref="OperationCanceledException">The wait for room was given up.</exception>
    public ValueTask EnqueueAsync<TState>(ScopeSnapshot snapshot, TState state, Func<IServiceProvider, TState, CancellationToken, ValueTask> work, CancellationToken cancellationToken = default)
    {
        WorkItem item = MakeItem(snapshot, state, work);
        if (_channel.Writer.TryWrite(item))
        {
            _ledger.Accept(item);
            return ValueTask.CompletedTask;
        }

        return _whenFull == QueueFullMode.Wait && !IsStopping
            ? WaitForRoomAsync(item, cancellationToken)
            : ValueTask.FromException(Refuse());
    }

    /// <summary>Hands work over if there is room now.</summary>
    /// <typeparam name="TState">What the work needs: plain values.</typeparam>
    /// <param name="snapshot">What goes along of the request; its deadline counts while the work waits, too.</param>
    /// <param name="state">Passed to the work.</param>
    /// <param name="work">The work: a static lambda, given services of its own scope, the state and a token.</param>
    /// <returns>Whether it was accepted; not when the queue is full, unless it drops the oldest, and not when it has stopped.</returns>
    /// <exception cref="ArgumentException">The state, or what the lambda captures, belongs to a request.</exception>
    public bool TryEnqueue<TState>(ScopeSnapshot snapshot, TState state, Func<IServiceProvider, TState, CancellationToken, ValueTask> work)
    {
        WorkItem item = MakeItem(snapshot, state, work);
        if (_channel.Writer.TryWrite(item))
        {
            _ledger.Accept(item);
            return true;
        }

        _ledger.Refuse(_capacity, IsStopping);
        return false;
    }

    /// <summary>Starts the workers.</summary>
    /// <param name="cancellationToken">Not used: starting does not wait.</param>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        // Whoever starts the host may have a flow full of things; the workers live as long as the process.
        using (ExecutionContext.IsFlowSuppressed() ? default(AsyncFlowControl?) : ExecutionContext.SuppressFlow())
        {
            lock (_lock)
            {
                _workers = new Task[_workerCount];
                for (int i = 0; i < _workerCount; i++)
                {
                    _workers[i] = Task.Run(WorkAsync, CancellationToken.None);
                }
            }
        }

        return Task.CompletedTask;
    }

    /// <summary>Takes no more work, drains, cancels, waits the grace and abandons what is left.</summary>
    /// <param name="cancellationToken">Ends the draining early; the grace is given all the same.</param>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        BackgroundQueueSettings settings = _settings();
        Task[] workers;
        lock (_lock)
        {
            _isStopping = true;
            workers = _workers;
        }

        _channel.Writer.TryComplete();
        ScopeLog.Draining(_monitor.Logger, Name, Waiting, Running, settings.DrainTimeout.TotalSeconds);
        Task ended = Task.WhenAll(workers);
        if (workers.Length == 0 || !await EndsWithinAsync(ended, settings.DrainTimeout, cancellationToken).ConfigureAwait(false))
        {
            AbandonWaiting();
            CancelRunning();
            await EndsWithinAsync(ended, settings.Grace, CancellationToken.None).ConfigureAwait(false);
            AbandonRunning();
        }

        _ledger.Close();
    }

    /// <summary>Frees what the queue holds. Stop it first.</summary>
    public void Dispose()
    {
        _channel.Writer.TryComplete();
        _shutdown.Dispose();
    }

    private bool IsStopping
    {
        get
        {
            lock (_lock)
            {
                return _isStopping;
            }
        }
    }

    private WorkItem<TState> MakeItem<TState>(ScopeSnapshot snapshot, TState state, Func<IServiceProvider, TState, CancellationToken, ValueTask> work)
    {
        ArgumentNullException.ThrowIfNull(snapshot);
        ArgumentNullException.ThrowIfNull(work);
        CaptureCheck.State(state);
        if (_checksClosures)
        {
            CaptureCheck.Closure(work);
        }

        return new WorkItem<TState>(snapshot, _clock.GetTimestamp(), state, work);
    }

    private async ValueTask WaitForRoomAsync(WorkItem item, CancellationToken cancellationToken)
    {
        RequestScope? scope = RequestScope.Current;
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, scope?.Token ?? default);
        try
        {
            await _channel.Writer.WriteAsync(item, either.Token).ConfigureAwait(false);
            _ledger.Accept(item);
        }
        catch (ChannelClosedException)
        {
            throw Refuse();
        }
        catch (OperationCanceledException exception) when (!cancellationToken.IsCancellationRequested && scope?.Cause == ScopeCause.Deadline)
        {
            throw new DeadlineExceededException($"Background queue '{Name}': no room before the request's deadline ({Waiting}/{_capacity} waiting, {Running} running). Raise Capacity or Workers.", TimeSpan.Zero, TimeSpan.Zero, scope.IsDeadlineCallerChosen, exception, exception.CancellationToken);
        }
    }

    private WorkRefusedException Refuse()
    {
        _ledger.Refuse(_capacity, IsStopping);
        return new WorkRefusedException(Name, IsStopping, Waiting, Running, _capacity);
    }

    private async Task WorkAsync()
    {
        while (await _channel.Reader.WaitToReadAsync().ConfigureAwait(false))
        {
            while (TryTake(out WorkItem? item))
            {
                await RunAsync(item).ConfigureAwait(false);
            }
        }
    }

    // Taken from the channel and entered as running in one step, so that a stop which looks at both finds every item in one of them.
    private bool TryTake([NotNullWhen(true)] out WorkItem? item)
    {
        lock (_lock)
        {
            return _channel.Reader.TryRead(out item) && _running.Add(item);
        }
    }

    // Async, so that whatever the work sets in its flow is taken back when this returns.
    private async Task RunAsync(WorkItem item)
    {
        try
        {
            if (_shutdown.IsCancellationRequested)
            {
                _ledger.Abandon(item, WorkAbandonReason.NotStarted);
            }
            else if (item.Snapshot.Deadline.IsExpired)
            {
                _ledger.Abandon(item, WorkAbandonReason.Expired);
            }
            else if (item.TryStart())
            {
                await RunInScopeAsync(item).ConfigureAwait(false);
            }
        }
        catch (Exception exception)
        {
            // Not the work, which is caught where it runs, but what others hang around it: listeners for traces and metrics. The worker
            // must go on, and the item must not get lost.
            ScopeLog.WorkFailed(_monitor.Logger, Name, item.Snapshot.Id, exception);
            if (!item.IsFinished)
            {
                _ledger.Finish(item, "failed");
            }
        }
        finally
        {
            lock (_lock)
            {
                _running.Remove(item);
            }
        }
    }

    private async Task RunInScopeAsync(WorkItem item)
    {
        long begun = _clock.GetTimestamp();
        using RequestScope scope = item.Snapshot.Begin(_monitor);
        using CancellationTokenRegistration shutdown = _shutdown.Token.UnsafeRegister(static scope => ((RequestScope)scope!).Cancel(ScopeCause.Shutdown), scope);
        using Activity? activity = Activities.StartActivity("background work", ActivityKind.Internal, default(ActivityContext), links: item.Snapshot.Trace == default ? null : [new ActivityLink(item.Snapshot.Trace)]);
        activity?.SetTag("resilience.background.queue", Name);
        try
        {
            AsyncServiceScope services = _services.CreateAsyncScope();
            await using (services.ConfigureAwait(false))
            {
                await item.RunAsync(services.ServiceProvider, scope.Token).ConfigureAwait(false);
            }

            _ledger.Finish(item, "completed");
        }
        catch (OperationCanceledException) when (scope.Cause == ScopeCause.Shutdown)
        {
            _ledger.Abandon(item, WorkAbandonReason.Cancelled);
        }
        catch (OperationCanceledException) when (scope.Cause == ScopeCause.Deadline)
        {
            activity?.SetStatus(ActivityStatusCode.Error, "deadline");
            _ledger.Finish(item, "deadline");
        }
        catch (Exception exception)
        {
            // The worker must go on to the next item.
            activity?.SetStatus(ActivityStatusCode.Error, exception.GetType().Name);
            ScopeLog.WorkFailed(_monitor.Logger, Name, item.Snapshot.Id, exception);
            _ledger.Finish(item, "failed");
        }

        if (_monitor.Metrics.IsWorkEnabled)
        {
            _monitor.Metrics.Waited(Name, _clock.GetElapsedTime(item.Enqueued, begun));
            _monitor.Metrics.Worked(Name, _clock.GetElapsedTime(begun));
        }
    }

    private void AbandonWaiting()
    {
        while (_channel.Reader.TryRead(out WorkItem? item))
        {
            _ledger.Abandon(item, WorkAbandonReason.NotStarted);
        }
    }

    private void AbandonRunning()
    {
        WorkItem[] running;
        lock (_lock)
        {
            running = [.. _running];
        }

        foreach (WorkItem item in running)
        {
            _ledger.Abandon(item, item.IsStarted ? WorkAbandonReason.StillRunning : WorkAbandonReason.NotStarted);
        }
    }

    private void CancelRunning()
    {
        try
        {
            _shutdown.Cancel();
        }
        catch (AggregateException exception)
        {
            // Callbacks of strangers; stopping must go on.
            _monitor.CallbackFailed(exception);
        }
    }

    private async Task<bool> EndsWithinAsync(Task task, TimeSpan timeout, CancellationToken cancellationToken)
    {
        try
        {
            await task.WaitAsync(timeout, _clock, cancellationToken).ConfigureAwait(false);
            return true;
        }
        catch (Exception exception) when (exception is TimeoutException or OperationCanceledException)
        {
            return false;
        }
    }
}
