using Resilience.Context;

namespace Resilience.Pools;

/// <content>Callers for whom nothing is idle: their limits, their place in the queue, and how a wait ends without a resource.</content>
public sealed partial class ResourcePool<T>
{
    /// <summary>A wait for a permit of so many milliseconds, or more, has no end: timers do not last that long.</summary>
    private const long LongestWait = uint.MaxValue - 1;

    private ValueTask<PoolLease<T>> AcquireSlowly(in PoolRequest request, string file, int line, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<PoolLease<T>>(cancellationToken);
        }

        if ((_attention & Closed) != 0)
        {
            return ValueTask.FromException<PoolLease<T>>(new PoolClosedException(Name));
        }

        if (_admission is null && TryLeaseAfterAll(file, line, request.Tag, out PoolLease<T> lease))
        {
            if (_tracksNesting)
            {
                (PoolEntry<T> entry, long version) = lease;
                NoteHeld(NestedAcquire.Enter(this, out _), entry, version);
            }

            return new ValueTask<PoolLease<T>>(lease);
        }

        PoolWaiter<T> waiter = SpareWaiters<T>.Take(this);
        waiter.File = file;
        waiter.Line = line;
        waiter.Tag = request.Tag;
        uint every = _sampleEvery;
        if ((every != 0 && Interlocked.Increment(ref _queuedLeases) % every == 1 % every) || IsLeaky(file, line))
        {
            // Here and not at the grant, which runs on the thread of whoever returned or created.
            waiter.Stack = CallersStack();
        }

        SetLimits(waiter, request);
        if (_tracksNesting)
        {
            // Here, in the caller's own synchronous part, because an AsyncLocal that is set later is lost to the caller.
            waiter.Nested = NestedAcquire.Enter(this, out bool isNested);
            waiter.IsNested = isNested;
        }

        if (_admission is not null)
        {
            return PassAndQueueAsync(waiter, _admission, cancellationToken);
        }

        if (cancellationToken.CanBeCanceled)
        {
            waiter.Watch(cancellationToken);
        }

        return Queue(waiter, waiter.EnqueuedAt);
    }

    /// <summary>
    /// Takes an idle one that the quick path could not. While others wait and something is idle, they are about to get it, and if whoever
    /// serves them does not run they are served from here: nobody goes past them, and nobody queues while something is idle. Who queued
    /// behind them would make the next caller queue too, and so on: callers who never run short would hand resources to one another
    /// through the lock for ever.
    /// </summary>
    private bool TryLeaseAfterAll(string? file, int line, string? tag, out PoolLease<T> lease)
    {
        for (int spins = 0; !_idle.IsEmpty && (_attention & Closed) == 0; spins++)
        {
            if ((_attention & Waiting) == 0)
            {
                return TryLeaseInPlace(file, line, tag, out lease) || TryLeasePopped(file, line, tag, out lease);
            }

            if (spins < MostSpins)
            {
                Thread.SpinWait(SpinsAtOnce);
            }
            else if (!Pump())
            {
                break;
            }
        }

        lease = default;
        return false;
    }

    /// <summary>When the wait ends and whom it goes before.</summary>
    private void SetLimits(PoolWaiter<T> waiter, in PoolRequest request)
    {
        RequestScope? scope = RequestScope.Current;
        TimeSpan timeout = request.Timeout ?? _options.AcquireTimeout;
        TimeSpan remaining = scope?.Deadline.Remaining ?? Timeout.InfiniteTimeSpan;
        waiter.Limit = PoolWaitLimit.AcquireTimeout;
        if (remaining != Timeout.InfiniteTimeSpan && (timeout == Timeout.InfiniteTimeSpan || remaining < timeout))
        {
            timeout = remaining;
            waiter.Limit = PoolWaitLimit.RequestDeadline;
        }

        long now = ReadClock();
        waiter.EnqueuedAt = now;
        waiter.Due = Later(now, Milliseconds(timeout));
        waiter.Priority = _options.Priorities || _yields ? request.Priority ?? scope?.Priority ?? Priority.Normal : Priority.Normal;
        waiter.StartTimestamp = _metrics.WaitTime.Enabled ? _time.GetTimestamp() : 0;
    }

    /// <summary>The wait in front and the wait within are under one deadline; a permit is spent even if no resource comes free after it.</summary>
    private async ValueTask<PoolLease<T>> PassAndQueueAsync(PoolWaiter<T> waiter, PoolAdmission admission, CancellationToken cancellationToken)
    {
        IDisposable? permit = null;
        try
        {
            long left = waiter.Due == long.MaxValue ? long.MaxValue : Math.Max(0, waiter.Due - _clock.Milliseconds);
            permit = await admission.PassAsync(Name, left >= LongestWait ? Timeout.InfiniteTimeSpan : TimeSpan.FromMilliseconds(left), _time, cancellationToken, _lifetime.Token).ConfigureAwait(false);
        }
        catch (Exception) when ((_attention & Closed) != 0 && !cancellationToken.IsCancellationRequested)
        {
            // The drain ended the wait for a permit, or the limiter itself.
            throw new PoolClosedException(Name);
        }
        finally
        {
            if (permit is null)
            {
                SpareWaiters<T>.Return(waiter);
            }
        }

        if (TryLeaseAfterAll(waiter.File, waiter.Line, waiter.Tag, out PoolLease<T> lease))
        {
            (PoolEntry<T> entry, long version) = lease;
            NoteAdmission(entry, version, permit);
            if (waiter.Nested is { } nested)
            {
                NoteHeld(nested, entry, version);
            }

            SpareWaiters<T>.Return(waiter);
            return lease;
        }

        waiter.Admission = permit;
        if (cancellationToken.CanBeCanceled)
        {
            waiter.Watch(cancellationToken);
        }

        try
        {
            return await Queue(waiter, _clock.Milliseconds).ConfigureAwait(false);
        }
        catch
        {
            permit.Dispose();
            throw;
        }
    }

    /// <summary>Puts a caller into the queue, or fails it; then looks again whether something is to be had.</summary>
    private ValueTask<PoolLease<T>> Queue(PoolWaiter<T> waiter, long now)
    {
        ValueTask<PoolLease<T>> task = waiter.Task;
        Exception? failure;
        bool refused;
        PoolWaiter<T>? displaced;
        lock (_gate)
        {
            (failure, refused, displaced) = EnqueueUnderLock(waiter, now);
        }

        if (displaced is not null)
        {
            FailExhausted(displaced, TakeSnapshot());
        }

        if (failure is not null)
        {
            if (failure is PoolUnavailableException)
            {
                NoteTimeout(PoolMetrics.BackendDown);
            }

            waiter.Fail(failure);
        }
        else if (refused)
        {
            waiter.Limit = PoolWaitLimit.QueueFull;
            FailExhausted(waiter, TakeSnapshot());
        }
        else
        {
            Pump();
            if (waiter.Due <= now)
            {
                Expire(waiter);
            }
        }

        return task;
    }

    private (Exception? Failure, bool Refused, PoolWaiter<T>? Displaced) EnqueueUnderLock(PoolWaiter<T> waiter, long now)
    {
        if (waiter.IsCancelledEarly)
        {
            return (new OperationCanceledException(waiter.Token), false, null);
        }

        if ((_attention & Closed) != 0)
        {
            return (new PoolClosedException(Name), false, null);
        }

        if (IsHopelessUnderLock())
        {
            return (UnavailableUnderLock(now), false, null);
        }

        // A caller for whom a resource is about to appear is not one of those whose number is limited.
        PoolWaiter<T>? displaced = null;
        int inSight = Math.Max(0, _limit - _open) + _creating + _closing + Volatile.Read(ref _checking);
        if (_waiters.Count >= (long)_options.MaxWaiters + inSight && _idle.IsEmpty)
        {
            displaced = _waiters.LeastBelow(waiter.Priority);
            if (displaced is null)
            {
                return (null, true, null);
            }

            _waiters.Remove(displaced);
            displaced.Limit = PoolWaitLimit.QueueFull;
        }

        if (_waiters.IsStanding(now, _options) && now + Milliseconds(_options.CoDelTarget) is var standingDue && standingDue < waiter.Due)
        {
            waiter.Due = standingDue;
            waiter.Limit = PoolWaitLimit.StandingQueue;
        }

        waiter.EnqueuedAt = now;
        _waits++;
        _waiters.Enqueue(waiter);
        SetAttentionUnderLock(Waiting, true);
        ArmUnderLock(waiter.Due, now);
        return (null, false, displaced);
    }

    internal void CancelWaiter(PoolWaiter<T> waiter)
    {
        lock (_gate)
        {
            if (!waiter.IsPending)
            {
                // Not yet queued, or served already: the first is told here, to the second it means nothing.
                waiter.IsCancelledEarly = true;
                return;
            }

            _waiters.Remove(waiter);
            SetAttentionUnderLock(Waiting, _waiters.Count > 0);
        }

        waiter.Fail(new OperationCanceledException(waiter.Token));
    }

    /// <summary>Ends a wait that had no time from the start.</summary>
    private void Expire(PoolWaiter<T> waiter)
    {
        lock (_gate)
        {
            if (!waiter.IsPending)
            {
                return;
            }

            _waiters.Remove(waiter);
            SetAttentionUnderLock(Waiting, _waiters.Count > 0);
        }

        FailExhausted(waiter, TakeSnapshot());
    }

    private void FailExhausted(PoolWaiter<T> waiter, PoolSnapshot snapshot)
    {
        NoteTimeout(PoolMetrics.Word(waiter.Limit));
        TrackNestingAfterExhaustion();
        TimeSpan waited = TimeSpan.FromMilliseconds(Math.Max(0, _clock.Milliseconds - waiter.EnqueuedAt));
        waiter.Fail(new PoolExhaustedException(snapshot, waiter.Limit, waited, waiter.IsNested, _circuit.LastFailure));
    }

    private List<PoolWaiter<T>>? TakeAllWaitersUnderLock()
    {
        List<PoolWaiter<T>>? all = null;
        while (_waiters.DequeueAny() is { } waiter)
        {
            (all ??= []).Add(waiter);
        }

        SetAttentionUnderLock(Waiting, false);
        return all;
    }

    private void FailAll(List<PoolWaiter<T>>? waiters, Exception? exception)
    {
        foreach (PoolWaiter<T> waiter in waiters ?? [])
        {
            NoteTimeout(exception is PoolClosedException ? PoolMetrics.PoolClosed : PoolMetrics.BackendDown);
            waiter.Fail(exception!);
        }
    }

    private void NoteTimeout(string reason)
    {
        Interlocked.Increment(ref _timeouts);
        _metrics.TimedOut(Name, reason);
    }

    /// <summary>
    /// From an exhaustion on leases note their flow for a while, though it costs: if flows wait for themselves, the next exhaustion will
    /// say so.
    /// </summary>
    private void TrackNestingAfterExhaustion()
    {
        if (_detectNested is not null)
        {
            return;
        }

        lock (_gate)
        {
            _trackNestingUntil = Later(_clock.Milliseconds, NestingWatch);
            if (!_tracksNesting)
            {
                _tracksNesting = true;
                SetAttentionUnderLock(SlowAcquire, true);
                StartUpkeepUnderLock(_clock.Milliseconds);
            }
        }
    }

    private void EndNestingWatchUnderLock(long now)
    {
        if (_tracksNesting && _detectNested is null && now >= _trackNestingUntil)
        {
            _tracksNesting = false;
            SetAttentionUnderLock(SlowAcquire, _admission is not null);
        }
    }
}
