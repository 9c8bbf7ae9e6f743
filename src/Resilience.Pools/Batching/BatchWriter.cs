using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Polly;
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
/// that may fail after it has taken part of a batch should be idempotent. All members are thread-safe. The host starts and drains it;
/// outside of a host the first item starts it.
/// </remarks>
public sealed class BatchWriter<T> : IAsyncDisposable, IDisposable
{
    private readonly Func<IReadOnlyList<T>, CancellationToken, ValueTask> _write;
    private readonly Action<IReadOnlyList<T>, Exception?>? _onAbandoned;
    private readonly ResiliencePipeline? _pipeline;
    private readonly BatchWriterOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly BatchMetrics _metrics;
    private readonly Channel<Envelope> _queue;
    private readonly CancellationTokenSource _giveUp = new();
    private readonly Lock _lock = new(); // guards _loop, _linger, _overtaken
    private readonly List<TaskCompletionSource> _overtaken = [];
    private Task? _loop;
    private TaskCompletionSource? _linger;
    private ITimer? _lingerTimer;
    private volatile bool _isClosed;
    private bool _toldDropping;
    private int _queued;
    private int _markers;
    private long _accepted;
    private long _written;
    private long _abandoned;
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
        _write = write;
        _options = options.Copy();
        _onAbandoned = onAbandoned;
        _pipeline = pipeline;
        _time = timeProvider ?? TimeProvider.System;
        _logger = logger ?? NullLogger.Instance;
        _metrics = metrics;
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
    public long Written => Interlocked.Read(ref _written);

    /// <summary>How many accepted items were handed to the abandon callback so far.</summary>
    public long Abandoned => Interlocked.Read(ref _abandoned);

    /// <summary>How many items were dropped so far for want of room, accepted before or not.</summary>
    public long Dropped => Interlocked.Read(ref _droppedOld) + Interlocked.Read(ref _droppedNew);

    /// <summary>Hands over an item without waiting.</summary>
    /// <param name="item">The item.</param>
    /// <returns>Whether it was accepted: false when there is no room, unless the mode makes some, and when the writer is closed.</returns>
    public bool TryWrite(T item)
    {
        _ = EnsureStarted();
        var envelope = new Envelope(item, null);
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
            await _queue.Writer.WriteAsync(new Envelope(default!, marker), cancellationToken).ConfigureAwait(false);
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
    public async Task<BatchDrainResult> DrainAsync(TimeSpan? timeout = null)
    {
        Task loop = EnsureStarted();
        _isClosed = true;
        _queue.Writer.TryComplete();
        EndLinger();
        using (var limit = new CancellationTokenSource(timeout ?? _options.DrainTimeout, _time))
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
            await _queue.Writer.WriteAsync(new Envelope(item, null), cancellationToken).ConfigureAwait(false);
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
                _overtaken.Add(oldest.Marker);
            }

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
                await WriteAsync(batch).ConfigureAwait(false);
                batch.Clear();
            }

            marker?.TrySetResult();
            AnswerOvertaken();
        }

        AnswerOvertaken();
        if (_lingerTimer is { } timer)
        {
            await timer.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Waits until a batch is full, the interval is over, or somebody wants everything written now.</summary>
    private async Task LingerAsync()
    {
        TaskCompletionSource linger;
        lock (_lock)
        {
            linger = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            Volatile.Write(ref _linger, linger);
        }

        // Written above, read here, with a fence between; a writer counts first and looks for the linger next. One of them sees the other.
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _queued) < _options.MaxBatch && Volatile.Read(ref _markers) == 0 && !_isClosed)
        {
            _lingerTimer!.Change(_options.FlushInterval, Timeout.InfiniteTimeSpan);
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

    private void AnswerOvertaken()
    {
        lock (_lock)
        {
            foreach (TaskCompletionSource marker in _overtaken)
            {
                Interlocked.Decrement(ref _markers);
                marker.TrySetResult();
            }

            _overtaken.Clear();
        }
    }

    private async Task WriteAsync(List<T> batch)
    {
        Exception? last = null;
        for (int failures = 0; !_giveUp.IsCancellationRequested;)
        {
            long started = _time.GetTimestamp();
            try
            {
                if (_pipeline is null)
                {
                    await _write(batch, _giveUp.Token).ConfigureAwait(false);
                }
                else
                {
                    await _pipeline.ExecuteAsync(static (work, token) => work.Writer._write(work.Batch, token), (Writer: this, Batch: batch), _giveUp.Token).ConfigureAwait(false);
                }

                _metrics.Wrote(Name, batch.Count, _time.GetElapsedTime(started), succeeded: true);
                _metrics.Ended(Name, batch.Count, "written");
                if (failures > 0)
                {
                    PoolsLog.BatchRecovered(_logger, Name, failures);
                }

                Interlocked.Add(ref _written, batch.Count);
                return;
            }
            catch (Exception exception)
            {
                last = exception;
                _metrics.Wrote(Name, batch.Count, _time.GetElapsedTime(started), succeeded: false);
                if (_pipeline is not null)
                {
                    break;
                }

                if (++failures == 1)
                {
                    PoolsLog.BatchFailed(_logger, Name, batch.Count, exception);
                }

                await PauseAsync(failures).ConfigureAwait(false);
            }
        }

        Abandon(batch, last);
    }

    private async Task PauseAsync(int failures)
    {
        double pause = CreateCircuit.Backoff(failures, _options.RetryDelay.TotalMilliseconds, _options.MaxRetryDelay.TotalMilliseconds, Random.Shared.NextDouble());
        await Task.Delay(TimeSpan.FromMilliseconds(pause), _time, _giveUp.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private void Abandon(List<T> batch, Exception? exception)
    {
        Interlocked.Add(ref _abandoned, batch.Count);
        _metrics.Ended(Name, batch.Count, "abandoned");
        PoolsLog.BatchAbandoned(_logger, Name, batch.Count, exception);
        try
        {
            _onAbandoned?.Invoke(batch, exception);
        }
        catch (Exception failure)
        {
            // The loop must go on for the items that come after.
            PoolsLog.AbandonCallbackFailed(_logger, Name, failure);
        }
    }

    private readonly record struct Envelope(T Item, TaskCompletionSource? Marker);
}
