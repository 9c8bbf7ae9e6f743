using Microsoft.Extensions.ObjectPool;
using Resilience.Context;

namespace Resilience.Pools;

/// <content>How resources go out and come back.</content>
public sealed partial class ResourcePool<T>
{
    /// <summary>Leases an entry that was just popped.</summary>
    /// <returns>False when it could not be leased at once; then it has been seen to.</returns>
    private bool TryLease(PoolEntry<T> entry, string file, int line, string? tag, out long version)
    {
        while (true)
        {
            long word = entry.ReadWord();
            if (EntryWord.State(word) != EntryState.Idle)
            {
                if (entry.TrySwap(word, word & ~EntryWord.Listed))
                {
                    version = 0;
                    return false;
                }

                continue;
            }

            version = EntryWord.Version(word);
            long now = _clock.Milliseconds;
            if (!IsFit(entry, now))
            {
                if (entry.TrySwap(word, version | (long)EntryState.Reserved))
                {
                    See(entry, now);
                    return false;
                }

                continue;
            }

            // Before the swap: a sweep that sees the lease must not see the time of the one before. Until the swap the entry is idle and
            // off the stack, so only a sweep can take it first, and to that a later time means nothing.
            long before = entry.LeasedAt;
            entry.LeasedAt = Math.Max(now, before);
            if (entry.TrySwap(word, version | (long)EntryState.Leased))
            {
                Note(entry, file, line, tag);
                uint every = _sampleEvery;
                if ((every != 0 && ++entry.LeaseCount % every == 0) || IsLeaky(file, line))
                {
                    entry.Stack = CallersStack();
                }

                return true;
            }

            entry.LeasedAt = before;
        }
    }

    /// <summary>Whether an idle resource may be leased without a check.</summary>
    private bool IsFit(PoolEntry<T> entry, long now) =>
        (entry.Generation == _generation || !IsOutdated(entry, now)) && now < entry.ExpiresAt && !NeedsCheck(entry, now);

    private bool NeedsCheck(PoolEntry<T> entry, long now) =>
        now - entry.LeasedAt >= _validateAfter || entry.LeasedAt <= Volatile.Read(ref _suspectBefore);

    /// <summary>Notes who holds an entry. The entry is leased, and its fields are the caller's.</summary>
    private void Note(PoolEntry<T> entry, string? file, int line, string? tag)
    {
        entry.File = file;
        entry.Line = line;
        if (entry.Tag is not null || tag is not null)
        {
            entry.Tag = tag;
        }

        if (entry.Stack is not null)
        {
            entry.Stack = null;
        }

        if (_timesUse || _metrics.UseTime.Enabled)
        {
            entry.LeasedTimestamp = _time.GetTimestamp();
        }
    }

    private ValueTask<PoolLease<T>> AcquireSlowly(in PoolRequest request, string file, int line, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<PoolLease<T>>(cancellationToken);
        }

        PoolWaiter<T> waiter = RentWaiter();
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
        if (_detectNested)
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

        return Queue(waiter);
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

        long now = _clock.Milliseconds;
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
            permit = await admission.PassAsync(Name, left == long.MaxValue ? Timeout.InfiniteTimeSpan : TimeSpan.FromMilliseconds(left), _time, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            if (permit is null)
            {
                Recycle(waiter);
            }
        }

        waiter.Admission = permit;
        if (cancellationToken.CanBeCanceled)
        {
            waiter.Watch(cancellationToken);
        }

        try
        {
            return await Queue(waiter).ConfigureAwait(false);
        }
        catch
        {
            permit.Dispose();
            throw;
        }
    }

    /// <summary>Puts a caller into the queue, or fails it; then looks again whether something is to be had.</summary>
    private ValueTask<PoolLease<T>> Queue(PoolWaiter<T> waiter)
    {
        ValueTask<PoolLease<T>> task = waiter.Task;
        Exception? failure;
        bool refused;
        PoolWaiter<T>? displaced;
        lock (_gate)
        {
            (failure, refused, displaced) = EnqueueUnderLock(waiter);
        }

        if (displaced is not null)
        {
            FailExhausted(displaced, TakeSnapshot());
        }

        if (failure is not null)
        {
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
            ExpireIfDue(waiter);
        }

        return task;
    }

    private (Exception? Failure, bool Refused, PoolWaiter<T>? Displaced) EnqueueUnderLock(PoolWaiter<T> waiter)
    {
        long now = _clock.Milliseconds;
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
        int inSight = Math.Max(0, _limit - _open) + _creating + Volatile.Read(ref _checking);
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

        long standingDue = now + Milliseconds(_options.CoDelTarget);
        if (standingDue < waiter.Due && _waiters.IsStanding(now, _options))
        {
            waiter.Due = standingDue;
            waiter.Limit = PoolWaitLimit.StandingQueue;
        }

        waiter.EnqueuedAt = now;
        _waiters.Enqueue(waiter);
        SetAttentionUnderLock(Waiting, true);
        ArmUnderLock(waiter.Due, now);
        return (null, false, displaced);
    }

    /// <summary>Serves those who wait from what is idle, then has made what is still wanting.</summary>
    private void Pump()
    {
        while ((_attention & Waiting) != 0 && _idle.Pop(ref _entries) is { } entry)
        {
            if (!TryReservePopped(entry))
            {
                continue;
            }

            long now = _clock.Milliseconds;
            if (IsFit(entry, now))
            {
                if (!TryGrant(entry))
                {
                    PutOnStack(entry);
                }
            }
            else if (IsOutdated(entry, now) || Volatile.Read(ref _checking) < _waiters.Count)
            {
                See(entry, now);
            }
            else
            {
                // As many are being checked as there are callers, and the stack has only older ones below: one caller must not have
                // all of them checked. Whoever ends a check comes here again.
                PutOnStack(entry);
                break;
            }
        }

        StartCreates();
    }

    /// <summary>Takes an entry that was just popped for the pool itself.</summary>
    /// <returns>False when somebody else has it.</returns>
    private static bool TryReservePopped(PoolEntry<T> entry)
    {
        while (true)
        {
            long word = entry.ReadWord();
            if (EntryWord.State(word) != EntryState.Idle)
            {
                if (entry.TrySwap(word, word & ~EntryWord.Listed))
                {
                    return false;
                }
            }
            else if (entry.TrySwap(word, EntryWord.Version(word) | (long)EntryState.Reserved))
            {
                return true;
            }
        }
    }

    /// <summary>Sees to a reserved entry that may not be leased as it is: destroys it, or has it validated.</summary>
    private void See(PoolEntry<T> entry, long now)
    {
        if (IsOutdated(entry, now))
        {
            Close(entry, EntryState.Reserved);
        }
        else
        {
            Check(entry, reset: false, validate: true);
        }
    }

    /// <summary>Hands a reserved entry to who is next.</summary>
    /// <returns>False when nobody waits; the entry is still reserved. Otherwise it has been granted, or destroyed because a clear came.</returns>
    private bool TryGrant(PoolEntry<T> entry)
    {
        PoolWaiter<T>? waiter = null;
        bool outdated;
        long now = _clock.Milliseconds;
        lock (_gate)
        {
            // Under the lock that a clear takes: who began to wait after it must not be given what was found fit before it.
            outdated = IsOutdated(entry, now);
            if (!outdated)
            {
                waiter = _waiters.Dequeue(now, _options, isStrict: _yields);
                SetAttentionUnderLock(Waiting, _waiters.Count > 0);
            }
        }

        if (outdated)
        {
            Close(entry, EntryState.Reserved);
            return true;
        }

        if (waiter is null)
        {
            return false;
        }

        entry.LeasedAt = Math.Max(now, entry.LeasedAt);
        entry.Admission = waiter.Admission;
        long version = entry.Move(EntryState.Reserved, EntryState.Leased);
        Note(entry, waiter.File, waiter.Line, waiter.Tag);
        if (waiter.Stack is not null)
        {
            entry.Stack = waiter.Stack;
        }

        if (waiter.Nested is { } nested)
        {
            NoteHeld(nested, entry, version);
        }

        if (waiter.StartTimestamp != 0)
        {
            _metrics.Waited(Name, _time.GetElapsedTime(waiter.StartTimestamp));
        }

        waiter.Grant(new PoolLease<T>(entry, version));
        return true;
    }

    /// <summary>Apart, because a closure is allocated where the variables that it captures begin, needed or not.</summary>
    private static void NoteHeld(NestedAcquire nested, PoolEntry<T> entry, long version) =>
        nested.Holds(() => EntryWord.IsLeased(entry.ReadWord(), version));

    /// <summary>Gives a reserved entry in good order to whoever waits, or lays it on the stack.</summary>
    private void Place(PoolEntry<T> entry)
    {
        if ((_attention & Waiting) == 0 || !TryGrant(entry))
        {
            PutOnStack(entry);
            LookAgain();
            if (_bound is { IsWanted: true } && (_attention & Waiting) == 0)
            {
                // Idle here, wanted elsewhere. Looked at after the push, as those who want look at what is idle after they said so.
                TryCloseOneIdle();
            }
        }
    }

    private void PutOnStack(PoolEntry<T> entry)
    {
        if (entry.MoveToIdle(EntryState.Reserved))
        {
            _idle.Push(entry);
        }
    }

    /// <summary>After a push, which was a full fence: sees to what came up meanwhile.</summary>
    private void LookAgain()
    {
        int attention = _attention;
        if ((attention & Waiting) != 0)
        {
            Pump();
        }

        if ((attention & Closed) != 0)
        {
            CloseIdle();
        }
        else if ((attention & Surplus) != 0)
        {
            TrimSurplus();
        }
    }

    /// <summary>Ends a lease. Never throws, never waits.</summary>
    internal void Return(PoolEntry<T> entry, long version)
    {
        if ((_attention & (Waiting | Closed | Surplus | SlowReturn)) == 0 && entry.Generation == _generation && !_metrics.UseTime.Enabled &&
            entry.TrySwap(version | (long)EntryState.Leased, (version + EntryWord.VersionUnit) | EntryWord.Listed | (long)EntryState.Idle))
        {
            _idle.Push(entry);
            if ((_attention & (Waiting | Closed | Surplus)) != 0)
            {
                LookAgain();
            }

            return;
        }

        ReturnSlowly(entry, version);
    }

    private void ReturnSlowly(PoolEntry<T> entry, long version)
    {
        if (!entry.TryEndLease(version, EntryState.Reserved, out bool invalid))
        {
            Interlocked.Increment(ref _staleReturns);
            _metrics.StaleReturn(Name);
            return;
        }

        EndUse(entry);
        if (invalid || (_attention & Closed) != 0 || IsOutdated(entry, _clock.Milliseconds) || IsSurplus())
        {
            Close(entry, EntryState.Reserved);
        }
        else if (_factory.Resets || _options.ValidateOnReturn)
        {
            Check(entry, _factory.Resets, _options.ValidateOnReturn);
        }
        else
        {
            Place(entry);
        }
    }

    /// <summary>What ends with a lease, however it ends. The entry is the caller's.</summary>
    private void EndUse(PoolEntry<T> entry)
    {
        long started = entry.LeasedTimestamp;
        if (started != 0)
        {
            entry.LeasedTimestamp = 0;
            TimeSpan used = _time.GetElapsedTime(started);
            _metrics.Used(Name, used);
            _sizer?.Used(used);
        }

        IDisposable? admission = entry.Admission;
        if (admission is not null)
        {
            entry.Admission = null;
            admission.Dispose();
        }
    }

    /// <summary>Takes note of what a holder's code threw.</summary>
    internal bool ReportFailure(PoolEntry<T> entry, long version, Exception exception)
    {
        T? resource = Volatile.Read(ref entry.Resource);
        if (resource is null || !EntryWord.IsLeased(entry.ReadWord(), version) || !_factory.IsFatal(resource, exception))
        {
            return false;
        }

        entry.MarkInvalid(version);
        Suspect();
        return true;
    }

    /// <summary>Has every resource that is idle now validated before its next use.</summary>
    internal void Suspect()
    {
        long now = _clock.Milliseconds;
        long before = Volatile.Read(ref _suspectBefore);
        while (before < now)
        {
            long seen = Interlocked.CompareExchange(ref _suspectBefore, now, before);
            if (seen == before)
            {
                return;
            }

            before = seen;
        }
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

    private void ExpireIfDue(PoolWaiter<T> waiter)
    {
        if (waiter.Due > _clock.Milliseconds)
        {
            return;
        }

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
        Interlocked.Increment(ref _timeouts);
        _metrics.TimedOut(Name, waiter.Limit);
        TimeSpan waited = TimeSpan.FromMilliseconds(Math.Max(0, _clock.Milliseconds - waiter.EnqueuedAt));
        waiter.Fail(new PoolExhaustedException(snapshot, waiter.Limit, waited, waiter.IsNested, _circuit.LastFailure));
    }

    private PoolWaiter<T> RentWaiter() => _spareWaiters.Get();

    internal void Recycle(PoolWaiter<T> waiter) => _spareWaiters.Return(waiter);

    private sealed class WaiterPolicy(ResourcePool<T> pool) : PooledObjectPolicy<PoolWaiter<T>>
    {
        public override PoolWaiter<T> Create() => new(pool);

        public override bool Return(PoolWaiter<T> obj)
        {
            obj.IsCancelledEarly = false;
            return true;
        }
    }
}
