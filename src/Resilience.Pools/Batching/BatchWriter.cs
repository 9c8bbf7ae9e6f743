using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Polly;
using Resilience.Context;
using Resilience.Settings;

namespace Resilience.Pools;

/// <summary>
/// Writes items in batches: audit rows, metrics, outbox messages. Callers hand an item over and go on; one loop collects what has come,
/// and writes when a batch is full or its oldest item has waited long enough. What was accepted is written, or handed to the abandon
/// callback when the writer must stop: nothing gets lost unseen.
/// </summary>
/// <typeparam name="T">The item.</typeparam>
/// <remarks>
/// Batches are written one at a time, in the order in which items were accepted. A failed batch is written again as a whole, so a sink
/// that may fail after it has taken part of a batch should be idempotent. All members are thread-safe. The first item starts
/// it; the host drains it.
/// </remarks>
public sealed class BatchWriter<T> : IAsyncDisposable, IDisposable
{
    private readonly BatchSink<T> _sink;
    private readonly BatchWriterOptions _options;
    private readonly TimeProvider _time;
    private readonly CoarseClock _clock;
    private readonly ILogger _logger;
    private readonly BatchMetrics _metrics;
    private readonly Channel<Envelope> _queue;
    private readonly CancellationTokenSource _giveUp = new();
    private readonly Lock _lock = new(); // guards _loop, _linger, _overtaken, _hasEnded
    private readonly List<TaskCompletionSource> _overtaken = [];
    private bool _hasEnded;
    private Task? _loop;
    private TaskCompletionSource? _linger;
    private ITimer? _lingerTimer;
    private volatile bool _isClosed;
    private bool _toldDropping;
    private int _queued;
    private int _markers;
    private long _accepted;
    private long _droppedOld;
    private long _droppedNew;

    /// <summary>Makes a writer.</summary>
    /// <param name="name">Its name in errors, logs and metrics.</param>
    /// <param name="write">Writes a batch. It must not keep the list, which is used again; the token is cancelled when the drain's time is up.</param>
    /// <param name="options">The settings, copied; defaults when <see langword="null"/>.</param>
    /// <param name="onAbandoned">Takes what could not be written, with the last failure if there was one: a file, a dead-letter table. It must not keep the list.</param>
    /// <param name="pipeline">What each write goes through; without one a batch is tried until it succeeds or the writer must stop.</param>
    /// <param name="timeProvider">The clock; the system's when <see langword="null"/>.</param>
    /// <param name="logger">Where failures are told; nowhere when <see langword="null"/>.</param>
    /// <exception cref="SettingsException">The options are not valid.</exception>
    public BatchWriter(string name, Func<IReadOnlyList<T>, CancellationToken, ValueTask> write, BatchWriterOptions? options = null, Action<IReadOnlyList<T>, Exception?>? onAbandoned = null, ResiliencePipeline? pipeline = null, TimeProvider? timeProvider = null, ILogger? logger = null)
        : this(name, write, options, onAbandoned, pipeline, timeProvider, logger, BatchMetrics.Shared)
    {
    }

    internal BatchWriter(string name, Func<IReadOnlyList<T>, CancellationToken, ValueTask> write, BatchWriterOptions? options, Action<IReadOnlyList<T>, Exception?>? onAbandoned, ResiliencePipeline? pipeline, TimeProvider? timeProvider, ILogger? logger, BatchMetrics metrics)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(write);
        options ??= new BatchWriterOptions();
        IReadOnlyList<SettingsError> errors = SettingsReader.Check($"Resilience:Batches:{name}", options);
        if (errors.Count > 0)
        {
            throw new SettingsException(errors);
        }

        Name = name;
        _options = options.Copy();
        _time = timeProvider ?? TimeProvider.System;
        _clock = new CoarseClock(_time);
        _logger = logger is null ? NullLogger.Instance : new QuietLogger(logger);
        _metrics = metrics;
        _sink = new BatchSink<T>(name, write, onAbandoned, pipeline, _options, _time, _logger, metrics, _giveUp.Token);
        _queue = Channel.CreateBounded<Envelope>(new BoundedChannelOptions(_options.Capacity) { SingleReader = _options.FullMode != BatchFullMode.DropOldest });
        _metrics.Add(this, name, () => Queued);
    }

    /// <summary>The name: options name, DI key and metric tag at once.</summary>
    public string Name { get; }

    /// <summary>How many items wait to be written, those of the batch that is being written not included.</summary>
    public int Queued => Math.Max(0, Volatile.Read(ref _queued));

    /// <summary>How many items were accepted so far.</summary>
    public long Accepted => Interlocked.Read(ref _accepted);

    /// <summary>How many items were written so far.</summary>
    public long Written => _sink.Written;

    /// <summary>How many accepted items were handed to the abandon callback so far.</summary>
    public long Abandoned => _sink.Abandoned;

    /// <summary>How many items were dropped so far for want of room, accepted before or not.</summary>
    public long Dropped => Interlocked.Read(ref _droppedOld) + Interlocked.Read(ref _droppedNew);

    /// <summary>Hands over an item without waiting.</summary>
    /// <param name="item">The item.</param>
    /// <returns>Whether it was accepted: false when there is no room, unless the mode makes some, and when the writer is closed.</returns>
    public bool TryWrite(T item)
    {
        _ = EnsureStarted();
        var envelope = new Envelope(item, null, _clock.Milliseconds);
        while (!_isClosed)
        {
            if (_queue.Writer.TryWrite(envelope))
            {
                NoteAccepted();
                return true;
            }

            switch (_options.FullMode)
            {
                case BatchFullMode.Wait:
                    return false;
                case BatchFullMode.DropNewest:
                    Interlocked.Increment(ref _droppedNew);
                    NoteDropped();
                    return false;
                default:
                    DropOldest();
                    break;
            }
        }

        return false;
    }

    /// <summary>Hands over an item, waiting for room if the mode says so.</summary>
    /// <param name="item">The item.</param>
    /// <param name="cancellationToken">Ends the wait; then the item was not accepted.</param>
    /// <returns>Completes when the item was accepted, or dropped if the mode drops the newest.</returns>
    /// <exception cref="BatchWriterClosedException">The writer is closed; the item was not accepted.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public ValueTask WriteAsync(T item, CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled(cancellationToken);
        }

        if (TryWrite(item))
        {
            return default;
        }

        return _isClosed ? ValueTask.FromException(new BatchWriterClosedException(Name))
            : _options.FullMode == BatchFullMode.Wait ? WaitAndWriteAsync(item, cancellationToken)
            : default;
    }

    /// <summary>Writes everything that was accepted before this call, however small the batch.</summary>
    /// <param name="cancellationToken">Ends the wait, not the writing.</param>
    /// <returns>Completes when all of it has been written or abandoned.</returns>
    public async Task FlushAsync(CancellationToken cancellationToken = default)
    {
        _ = EnsureStarted();
        var marker = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Interlocked.Increment(ref _markers);
        try
        {
            await _queue.Writer.WriteAsync(new Envelope(default!, marker, _clock.Milliseconds), cancellationToken).ConfigureAwait(false);
        }
        catch (ChannelClosedException)
        {
            // The drain writes everything anyway.
            Interlocked.Decrement(ref _markers);
            await DrainAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
            return;
        }
        catch (OperationCanceledException)
        {
            Interlocked.Decrement(ref _markers);
            throw;
        }

        EndLinger();
        await marker.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Closes the writer, then writes everything that was accepted. What is not written when the time is up goes to the abandon callback.
    /// A second call waits for the first; the shorter time counts.
    /// </summary>
    /// <param name="timeout">How long; <see cref="BatchWriterOptions.DrainTimeout"/> when <see langword="null"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="timeout"/> is negative and not infinite.</exception>
    public async Task<BatchDrainResult> DrainAsync(TimeSpan? timeout = null)
    {
        TimerSpan.ThrowIfNegative(timeout, nameof(timeout));
        Task loop = EnsureStarted();
        _isClosed = true;
        _queue.Writer.TryComplete();
        EndLinger();
        using (var limit = new CancellationTokenSource(TimerSpan.Of(timeout ?? _options.DrainTimeout), _time))
        using (limit.Token.UnsafeRegister(static source => ((CancellationTokenSource)source!).Cancel(), _giveUp))
        {
            await loop.ConfigureAwait(false);
        }

        _metrics.Remove(this);
        return new BatchDrainResult(Written, Abandoned, Interlocked.Read(ref _droppedOld));
    }

    /// <summary>Drains with <see cref="BatchWriterOptions.DrainTimeout"/>.</summary>
    public async ValueTask DisposeAsync() => await DrainAsync().ConfigureAwait(false);

    /// <summary>Closes the writer and begins to drain it, and does not wait for that; prefer <see cref="DisposeAsync"/>.</summary>
    public void Dispose() => _ = DrainAsync();

    /// <summary>Ends the drain's patience: what is left is abandoned.</summary>
    internal void GiveUp() => _giveUp.Cancel();

    internal Task EnsureStarted()
    {
        Task? loop = Volatile.Read(ref _loop);
        if (loop is not null)
        {
            return loop;
        }

        lock (_lock)
        {
            if (_loop is null)
            {
                // The loop outlives whoever happens to write first, and must not keep its context.
                AsyncFlowControl? flow = ExecutionContext.IsFlowSuppressed() ? null : ExecutionContext.SuppressFlow();
                _lingerTimer = _time.CreateTimer(static writer => ((BatchWriter<T>)writer!).EndLinger(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
                _loop = Task.Run(LoopAsync);
                flow?.Undo();
            }

            return _loop;
        }
    }

    private async ValueTask WaitAndWriteAsync(T item, CancellationToken cancellationToken)
    {
        try
        {
            await _queue.Writer.WriteAsync(new Envelope(item, null, _clock.Milliseconds), cancellationToken).ConfigureAwait(false);
        }
        catch (ChannelClosedException)
        {
            throw new BatchWriterClosedException(Name);
        }

        NoteAccepted();
    }

    private void NoteAccepted()
    {
        Interlocked.Increment(ref _accepted);
        if (Interlocked.Increment(ref _queued) >= _options.MaxBatch && Volatile.Read(ref _linger) is not null)
        {
            EndLinger();
        }
    }

    private void NoteDropped()
    {
        _metrics.Ended(Name, 1, "dropped");
        if (!Volatile.Read(ref _toldDropping))
        {
            Volatile.Write(ref _toldDropping, true);
            PoolsLog.BatchDropped(_logger, Name, Dropped);
        }
    }

    private void DropOldest()
    {
        if (!_queue.Reader.TryRead(out Envelope oldest))
        {
            return;
        }

        if (oldest.Marker is not null)
        {
            // Everything before it is in the loop's hands already; it is answered with the batch that is being written.
            lock (_lock)
            {
                if (!_hasEnded)
                {
                    _overtaken.Add(oldest.Marker);
                    return;
                }
            }

            oldest.Marker.TrySetResult();
            return;
        }

        Interlocked.Decrement(ref _queued);
        Interlocked.Increment(ref _droppedOld);
        NoteDropped();
    }

    private async Task LoopAsync()
    {
        var batch = new List<T>(Math.Min(_options.MaxBatch, 4_096));
        while (await _queue.Reader.WaitToReadAsync(CancellationToken.None).ConfigureAwait(false))
        {
            await LingerAsync().ConfigureAwait(false);
            TaskCompletionSource? marker = Collect(batch);
            if (batch.Count > 0)
            {
                batch = await _sink.WriteAsync(batch).ConfigureAwait(false);
            }

            marker?.TrySetResult();
            AnswerOvertaken(isEnd: false);
        }

        AnswerOvertaken(isEnd: true);
        if (_lingerTimer is { } timer)
        {
            await timer.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Waits until a batch is full, its oldest item has waited for the interval, or somebody wants everything written now.</summary>
    private async Task LingerAsync()
    {
        // From when the item came, not from now: it may have waited through the write before.
        TimeSpan waited = TimeSpan.FromMilliseconds(_queue.Reader.TryPeek(out Envelope oldest) ? _clock.Milliseconds - oldest.At : 0);
        TimeSpan wait = _options.FlushInterval - waited;
        TaskCompletionSource linger;
        lock (_lock)
        {
            linger = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            Volatile.Write(ref _linger, linger);
        }

        // Written above, read here, with a fence between; a writer counts first and looks for the linger next. One of them sees the other.
        Interlocked.MemoryBarrier();
        if (wait > TimeSpan.Zero && Volatile.Read(ref _queued) < _options.MaxBatch && Volatile.Read(ref _markers) == 0 && !_isClosed)
        {
            _lingerTimer!.Change(wait, Timeout.InfiniteTimeSpan);
            await linger.Task.ConfigureAwait(false);
            _lingerTimer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }

        Volatile.Write(ref _linger, null);
    }

    private void EndLinger() => Volatile.Read(ref _linger)?.TrySetResult();

    /// <summary>Takes up to a batch, or up to a marker.</summary>
    private TaskCompletionSource? Collect(List<T> batch)
    {
        while (batch.Count < _options.MaxBatch && _queue.Reader.TryRead(out Envelope envelope))
        {
            if (envelope.Marker is { } marker)
            {
                Interlocked.Decrement(ref _markers);
                return marker;
            }

            Interlocked.Decrement(ref _queued);
            batch.Add(envelope.Item);
        }

        if (Volatile.Read(ref _queued) < _options.Capacity / 2)
        {
            Volatile.Write(ref _toldDropping, false);
        }

        return null;
    }

    private void AnswerOvertaken(bool isEnd)
    {
        lock (_lock)
        {
            _hasEnded |= isEnd;
            foreach (TaskCompletionSource marker in _overtaken)
            {
                Interlocked.Decrement(ref _markers);
                marker.TrySetResult();
            }

            _overtaken.Clear();
        }
    }

    private readonly record struct Envelope(T Item, TaskCompletionSource? Marker, long At);
}
