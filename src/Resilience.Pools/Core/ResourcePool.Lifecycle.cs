using Resilience.Context;

namespace Resilience.Pools;

/// <content>Start, clear, drain, and what can be seen from outside.</content>
public sealed partial class ResourcePool<T> : IBoundMember
{
    private Task<PoolDrainResult>? _drain;

    /// <summary>
    /// Begins the upkeep, and creates <see cref="PoolOptions.MinIdle"/> resources in the background. The host calls it; a pool outside of
    /// a host starts by itself with the first acquire.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait of <see cref="PoolOptions.WarmUp"/>.</param>
    /// <returns>Completes at once, or with <see cref="PoolOptions.WarmUp"/> when that many exist or <see cref="PoolOptions.CreateTimeout"/> is up.</returns>
    public async Task StartAsync(CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            if ((_attention & Closed) != 0)
            {
                throw new PoolClosedException(Name);
            }

            _hasStarted = true;
            if (_options.MinIdle > 0)
            {
                _idleShort = Math.Max(0, _options.MinIdle - _open);
                StartUpkeepUnderLock(_clock.Milliseconds);
            }
        }

        StartCreates();
        if (!_options.WarmUp)
        {
            return;
        }

        var deadline = Deadline.After(_options.CreateTimeout, _time);
        while (!deadline.IsExpired && Snapshot().Idle < _options.MinIdle)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(5), _time, cancellationToken).ConfigureAwait(false);
        }

        if (Snapshot().Idle < _options.MinIdle)
        {
            PoolsLog.NotWarm(_logger, Name, Snapshot().Idle, _options.MinIdle);
        }
    }

    /// <summary>
    /// Replaces all resources that exist now or are being made now: after a failover, or when credentials have changed. What is idle is
    /// destroyed, what is leased goes when it comes back, what is still being made is never leased.
    /// </summary>
    /// <param name="pace">
    /// Over how long the replacement is spread, so that the backend does not have to take all connections at once; zero, the default,
    /// replaces at once. Until its turn comes a resource may still be leased.
    /// </param>
    /// <param name="cancellationToken">Ends the wait, not the clearing.</param>
    /// <returns>Completes when no idle resource of the old ones is left. Leased ones are not waited for.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="pace"/> is negative.</exception>
    public async Task ClearAsync(TimeSpan pace = default, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(pace, TimeSpan.Zero);
        int generation;
        lock (_gate)
        {
            Volatile.Write(ref _clearedAt, _clock.Milliseconds);
            Volatile.Write(ref _clearPace, Milliseconds(pace));
            if (pace == TimeSpan.Zero)
            {
                _goneBefore = _generation + 1;
            }

            generation = Interlocked.Increment(ref _generation);
        }

        PoolsLog.Cleared(_logger, Name, generation, pace.TotalMilliseconds);
        while (true)
        {
            bool left = false;
            long now = _clock.Milliseconds;
            foreach (PoolEntry<T> entry in Volatile.Read(ref _entries))
            {
                long word = entry.ReadWord();
                if (EntryWord.State(word) == EntryState.Idle && entry.Generation - generation < 0)
                {
                    if (!IsOutdated(entry, now))
                    {
                        left = true;
                    }
                    else if (TryReserve(entry, word))
                    {
                        Close(entry, EntryState.Reserved);
                    }
                }
            }

            if (!left)
            {
                return;
            }

            await Task.Delay(TimeSpan.FromMilliseconds(Math.Clamp(pace.TotalMilliseconds / Math.Max(1, _limit), 10, 1_000)), _time, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Closes the pool: refuses new callers and those who wait, destroys what is idle, waits for what is leased, and takes away what is
    /// not back in time. A second call waits for the first.
    /// </summary>
    /// <param name="timeout">How long leases may still last; <see cref="PoolOptions.DrainTimeout"/> when <see langword="null"/>.</param>
    /// <returns>What came of it, once every resource has been destroyed or <see cref="PoolOptions.DestroyTimeout"/> has passed.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="timeout"/> is negative and not infinite.</exception>
    public Task<PoolDrainResult> DrainAsync(TimeSpan? timeout = null)
    {
        TimerSpan.ThrowIfNegative(timeout, nameof(timeout));
        return DrainAsync(timeout, CancellationToken.None);
    }

    /// <param name="timeout">How long leases may still last.</param>
    /// <param name="hurry">When it is cancelled, leases are taken away at once and destructions are not waited for.</param>
    internal Task<PoolDrainResult> DrainAsync(TimeSpan? timeout, CancellationToken hurry)
    {
        List<PoolWaiter<T>>? waiters;
        TaskCompletionSource<PoolDrainResult> drain;
        int leased = Snapshot().Leased;
        lock (_gate)
        {
            if (_drain is not null)
            {
                return _drain;
            }

            drain = new TaskCompletionSource<PoolDrainResult>(TaskCreationOptions.RunContinuationsAsynchronously);
            _drain = drain.Task;
            _emptied = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            if (_open == 0)
            {
                _emptied.SetResult();
            }

            SetAttentionUnderLock(Closed, true);
            waiters = TakeAllWaitersUnderLock();
        }

        FailAll(waiters, new PoolClosedException(Name));
        Run((Pool: this, Drain: drain, Leased: leased, Timeout: TimerSpan.Of(timeout ?? _options.DrainTimeout), Hurry: hurry), static work => work.Pool.DrainAsync(work.Drain, work.Leased, work.Timeout, work.Hurry));
        return drain.Task;
    }

    private async Task DrainAsync(TaskCompletionSource<PoolDrainResult> drain, int leased, TimeSpan timeout, CancellationToken hurry)
    {
        try
        {
            // Not awaited by anything but the attempts themselves: they end early instead of late.
            await _lifetime.CancelAsync().ConfigureAwait(false);
            CloseIdle();
            int reclaimed = 0;
            if (!await EmptiedWithinAsync(timeout, hurry).ConfigureAwait(false))
            {
                foreach (PoolEntry<T> entry in Volatile.Read(ref _entries))
                {
                    long word = entry.ReadWord();
                    if (EntryWord.State(word) == EntryState.Leased && entry.TryEndLease(EntryWord.Version(word), EntryState.Closing, out _))
                    {
                        reclaimed++;
                        EndUse(entry);
                        BeginDestroy(entry);
                    }
                }
            }

            bool emptied = await EmptiedWithinAsync(_options.DestroyTimeout, hurry).ConfigureAwait(false);
            PoolsLog.Drained(_logger, Name, leased - reclaimed, reclaimed);
            drain.SetResult(new PoolDrainResult(Math.Max(0, leased - reclaimed), reclaimed, emptied));
        }
        catch (Exception exception)
        {
            drain.SetException(exception);
        }
        finally
        {
            _metrics.Remove(this);
            if (_ownsAdmission)
            {
                _admission?.End();
            }

            lock (_gate)
            {
                _timer?.Dispose();
            }
        }
    }

    private async Task<bool> EmptiedWithinAsync(TimeSpan timeout, CancellationToken hurry)
    {
        await _emptied!.Task.WaitAsync(timeout, _time, hurry).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return _emptied.Task.IsCompleted;
    }

    /// <summary>Drains with <see cref="PoolOptions.DrainTimeout"/>.</summary>
    public async ValueTask DisposeAsync() => await DrainAsync().ConfigureAwait(false);

    /// <summary>Begins to drain with <see cref="PoolOptions.DrainTimeout"/>, and does not wait for it; prefer <see cref="DisposeAsync"/>.</summary>
    public void Dispose() => _ = DrainAsync();

    private void CloseIdle()
    {
        while (TryCloseOneIdle())
        {
        }
    }

    private static TimeSpan? Since(long then, long now) => then == long.MinValue ? null : TimeSpan.FromMilliseconds(Math.Max(0, now - then));

    int IBoundMember.Open => _open;

    bool IBoundMember.CanUseOne => (_attention & Waiting) != 0 && _circuit.State == PoolBackendState.Up;

    void IBoundMember.Retry() => StartCreates();

    bool IBoundMember.TryGiveUpIdle() => (_attention & Waiting) == 0 && TryCloseOneIdle();

    /// <inheritdoc/>
    public PoolSnapshot Snapshot()
    {
        PoolOptions options = _options;
        long now = _clock.Milliseconds;
        Span<int> counts = stackalloc int[6];
        counts.Clear();
        var holders = new List<PoolHolder>();
        foreach (PoolEntry<T> entry in Volatile.Read(ref _entries))
        {
            EntryState state = EntryWord.State(entry.ReadWord());
            counts[(int)state]++;
            if (state == EntryState.Leased)
            {
                holders.Add(Holder(entry, now));
            }
        }

        holders.Sort(static (left, right) => right.Age.CompareTo(left.Age));
        return new PoolSnapshot
        {
            Name = Name,
            MaxSize = options.MaxSize,
            Limit = _limit,
            MinIdle = options.MinIdle,
            Open = _open,
            Idle = counts[(int)EntryState.Idle],
            Leased = counts[(int)EntryState.Leased],
            Creating = counts[(int)EntryState.Creating],
            Checking = counts[(int)EntryState.Reserved],
            Closing = counts[(int)EntryState.Closing],
            Waiting = _waiters.Count,
            Backend = _circuit.State,
            CreateFailures = _circuit.Failures,
            IsClosed = (_attention & Closed) != 0,
            Timeouts = Interlocked.Read(ref _timeouts),
            Leaks = Interlocked.Read(ref _leaks),
            SinceLastLeak = Since(Interlocked.Read(ref _lastLeakAt), now),
            Reclaims = Interlocked.Read(ref _reclaims),
            StaleReturns = Interlocked.Read(ref _staleReturns),
            Created = Interlocked.Read(ref _created),
            Destroyed = Interlocked.Read(ref _destroyed),
            Holders = holders,
        };
    }
}

/// <summary>What came of a drain.</summary>
/// <param name="Returned">How many leases came back in time.</param>
/// <param name="Reclaimed">How many were taken away when the time was up.</param>
/// <param name="IsEmpty">Whether every resource has been destroyed; false if a factory's destruction hangs.</param>
public sealed record PoolDrainResult(int Returned, int Reclaimed, bool IsEmpty);
