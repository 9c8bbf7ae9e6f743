namespace Resilience.Pools;

/// <content>How resources are made, checked and ended: always in the background, never in a caller's context.</content>
public sealed partial class ResourcePool<T>
{
    /// <summary>Begins as many creations as are wanted, allowed and have a place.</summary>
    internal void StartCreates()
    {
        if ((_attention & Waiting) == 0 && _idleShort == 0 && _circuit.State == PoolBackendState.Up)
        {
            return;
        }

        if (_open >= _limit)
        {
            // Whoever gives up a place comes here again.
            return;
        }

        bool starved = false;
        while (true)
        {
            PoolEntry<T> entry;
            int round;
            int generation;
            lock (_gate)
            {
                long now = _clock.Milliseconds;
                if (!WantsCreateUnderLock(now))
                {
                    break;
                }

                if (_bound is not null && !_bound.TryTake(this))
                {
                    starved = true;
                    break;
                }

                entry = _dead.Pop();
                _open++;
                _creating++;
                _idleShort = Math.Max(0, _idleShort - 1);
                entry.Move(EntryState.Dead, EntryState.Creating);
                round = _circuit.Round;

                // Before the factory runs: what a clear does meanwhile must find the product too old.
                generation = _generation;
                StartUpkeepUnderLock(now);
            }

            Run((Pool: this, Entry: entry, Generation: generation, Round: round), static work => work.Pool.CreateAsync(work.Entry, work.Generation, work.Round));
        }

        if (starved)
        {
            _bound!.MakeRoomFor(this);
        }
    }

    private bool WantsCreateUnderLock(long now)
    {
        if ((_attention & Closed) != 0 || _open >= _limit || _dead.Count == 0)
        {
            return false;
        }

        int wanted = Math.Max(Math.Max(0, _waiters.Count - _creating - Volatile.Read(ref _checking)), _idleShort);
        if (_circuit.State == PoolBackendState.Down)
        {
            // The probe goes on whether or not anybody waits: nobody can wait while the backend is down.
            wanted = Math.Max(wanted, 1);
        }

        if (wanted == 0 || _creating >= _circuit.Allowed(now, _options))
        {
            if (wanted > 0 && _circuit.RetryAt > now)
            {
                ArmUnderLock(_circuit.RetryAt, now);
            }

            return false;
        }

        return true;
    }

    private async Task CreateAsync(PoolEntry<T> entry, int generation, int round)
    {
        long started = _time.GetTimestamp();
        Task<T>? attempt = null;
        T? resource = null;
        Exception? failure = null;
        using (var limit = new CancellationTokenSource(_options.CreateTimeout, _time))
        using (var linked = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, _lifetime.Token))
        {
            try
            {
                attempt = Pipeline is null
                    ? _factory.CreateAsync(linked.Token).AsTask()
                    : Pipeline.ExecuteAsync(static (factory, token) => factory.CreateAsync(token), _factory, linked.Token).AsTask();
                resource = await attempt.WaitAsync(linked.Token).ConfigureAwait(false);
                failure = resource is null ? new InvalidOperationException($"Pool '{Name}': the factory returned null.") : null;
            }
            catch (OperationCanceledException exception) when (limit.IsCancellationRequested)
            {
                failure = new TimeoutException($"Pool '{Name}': creating a resource took longer than CreateTimeout ({_options.CreateTimeout.TotalMilliseconds:0} ms).", exception);
            }
            catch (Exception exception)
            {
                failure = exception;
            }

            _metrics.CreateEnded(Name, _time.GetElapsedTime(started), failure is null);
            if (failure is not null)
            {
                NoteCreateFailure(failure, round);
                if (attempt is { IsCompleted: false })
                {
                    // A factory that does not heed its token keeps the place until it gives in: what it makes counts against MaxSize.
                    resource = await Late(attempt).ConfigureAwait(false);
                }
            }
        }

        if (resource is null)
        {
            Bury(entry, EntryState.Creating, wasCreating: true);
            return;
        }

        Interlocked.Increment(ref _created);
        Accept(entry, resource, generation, failure is null);
    }

    private void Accept(PoolEntry<T> entry, T resource, int generation, bool inTime)
    {
        long now = _clock.Milliseconds;
        entry.Generation = generation;
        entry.CreatedAt = now;
        entry.ValidatedAt = now;
        entry.LeasedAt = Math.Max(now, Volatile.Read(ref _suspectBefore) + 1);
        entry.ExpiresAt = Later(now, Lifetime());
        Volatile.Write(ref entry.Resource, resource);
        bool recovered = false;
        lock (_gate)
        {
            _creating--;
            if (inTime)
            {
                recovered = _circuit.Succeeded();
            }
        }

        if (recovered)
        {
            PoolsLog.BackendIsBack(_logger, Name);
        }

        if (!inTime || (_attention & Closed) != 0 || IsOutdated(entry, now) || IsSurplus())
        {
            Close(entry, EntryState.Creating);
        }
        else
        {
            entry.Move(EntryState.Creating, EntryState.Reserved);
            Place(entry);
        }

        StartCreates();
    }

    private long Lifetime()
    {
        TimeSpan longest = _options.MaxLifetime;
        return longest == Timeout.InfiniteTimeSpan
            ? long.MaxValue
            : (long)(longest.TotalMilliseconds * (1 - (_options.LifetimeJitter * Random.Shared.NextDouble())));
    }

    private void NoteCreateFailure(Exception failure, int round)
    {
        bool opened;
        int failures;
        List<PoolWaiter<T>>? hopeless = null;
        Exception? unavailable = null;
        lock (_gate)
        {
            if ((_attention & Closed) != 0)
            {
                return;
            }

            long now = _clock.Milliseconds;
            opened = _circuit.Failed(failure, round, now, _options);
            failures = _circuit.Failures;
            ArmUnderLock(_circuit.RetryAt, now);
            if (IsHopelessUnderLock())
            {
                hopeless = TakeAllWaitersUnderLock();
                unavailable = UnavailableUnderLock(now);
            }
        }

        if (opened)
        {
            PoolsLog.BackendIsDown(_logger, Name, failures, failure);
        }

        FailAll(hopeless, unavailable);
    }

    /// <summary>Whether waiting is pointless: the backend is down, and no living resource may come free.</summary>
    private bool IsHopelessUnderLock() => _circuit.State == PoolBackendState.Down && _open - _creating - _closing <= 0;

    private PoolUnavailableException UnavailableUnderLock(long now) =>
        new(Name, _circuit.Failures, TimeSpan.FromMilliseconds(Math.Max(0, _circuit.RetryAt - now)), _circuit.LastFailure);

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
            Interlocked.Increment(ref _timeouts);
            waiter.Fail(exception!);
        }
    }

    private static async Task<T?> Late(Task<T> attempt)
    {
        try
        {
            return await attempt.ConfigureAwait(false);
        }
        catch (Exception)
        {
            // The attempt has been counted as failed already, with a better reason.
            return null;
        }
    }

    /// <summary>Resets and validates a reserved resource in the background, then places it or destroys it.</summary>
    private void Check(PoolEntry<T> entry, bool reset, bool validate)
    {
        Interlocked.Increment(ref _checking);
        if (reset && !validate)
        {
            // A reset that needs no waiting is done where the resource comes back.
            ValueTask<bool> done = TryStartReset(entry);
            if (done.IsCompletedSuccessfully)
            {
                EndCheck(entry, done.Result);
            }
            else
            {
                Run((Pool: this, Entry: entry, Done: done), static work => work.Pool.FinishCheckAsync(work.Entry, work.Done));
            }

            return;
        }

        Run((Pool: this, Entry: entry, Reset: reset), static work => work.Pool.FinishCheckAsync(work.Entry, work.Pool.ResetAndValidateAsync(work.Entry, work.Reset)));
    }

    private ValueTask<bool> TryStartReset(PoolEntry<T> entry)
    {
        // The factory runs in the returning caller's context until it first waits; it must not keep that.
        AsyncFlowControl? flow = ExecutionContext.IsFlowSuppressed() ? null : ExecutionContext.SuppressFlow();
        try
        {
            return _factory.ResetAsync(entry.Resource!, _lifetime.Token);
        }
        catch (Exception exception)
        {
            return ValueTask.FromException<bool>(exception);
        }
        finally
        {
            flow?.Undo();
        }
    }

    private async ValueTask<bool> ResetAndValidateAsync(PoolEntry<T> entry, bool reset)
    {
        using var limit = new CancellationTokenSource(_options.ValidateTimeout, _time);
        if (reset && !await _factory.ResetAsync(entry.Resource!, limit.Token).ConfigureAwait(false))
        {
            return false;
        }

        return await _factory.ValidateAsync(entry.Resource!, limit.Token).ConfigureAwait(false);
    }

    private async Task FinishCheckAsync(PoolEntry<T> entry, ValueTask<bool> check)
    {
        bool works = false;
        try
        {
            works = await check.AsTask().WaitAsync(_options.ValidateTimeout, _time, _lifetime.Token).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            PoolsLog.CheckFailed(_logger, Name, exception);
        }

        EndCheck(entry, works);
    }

    private void EndCheck(PoolEntry<T> entry, bool works)
    {
        long now = _clock.Milliseconds;
        if (works)
        {
            // It counts as freshly used, or the next acquire would check it again; and it has been found to work since the last fright.
            entry.ValidatedAt = now;
            entry.LeasedAt = Math.Max(now, Volatile.Read(ref _suspectBefore) + 1);
        }

        Interlocked.Decrement(ref _checking);
        if (!works || (_attention & Closed) != 0 || IsOutdated(entry, now) || IsSurplus())
        {
            Close(entry, EntryState.Reserved);
            Pump();
        }
        else
        {
            Place(entry);
        }
    }

    /// <summary>Destroys the resource of an entry that the caller owns. The place stays taken until that has ended.</summary>
    private void Close(PoolEntry<T> entry, EntryState from)
    {
        entry.Move(from, EntryState.Closing, bumpVersion: true);
        BeginDestroy(entry);
    }

    /// <summary>Destroys the resource of an entry that is closing.</summary>
    private void BeginDestroy(PoolEntry<T> entry)
    {
        List<PoolWaiter<T>>? hopeless = null;
        Exception? unavailable = null;
        lock (_gate)
        {
            _closing++;
            if (IsHopelessUnderLock())
            {
                hopeless = TakeAllWaitersUnderLock();
                unavailable = UnavailableUnderLock(_clock.Milliseconds);
            }
        }

        FailAll(hopeless, unavailable);
        Run((Pool: this, Entry: entry), static work => work.Pool.DestroyAsync(work.Entry));
    }

    private async Task DestroyAsync(PoolEntry<T> entry)
    {
        T resource = entry.Resource!;
        try
        {
            using var limit = new CancellationTokenSource(_options.DestroyTimeout, _time);
            await _factory.DestroyAsync(resource, limit.Token).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            PoolsLog.DestroyFailed(_logger, Name, exception);
        }

        Interlocked.Increment(ref _destroyed);
        Bury(entry, EntryState.Closing, wasCreating: false);
    }

    /// <summary>Gives up the place of an entry whose resource is gone.</summary>
    private void Bury(PoolEntry<T> entry, EntryState from, bool wasCreating)
    {
        Volatile.Write(ref entry.Resource, null);
        entry.File = entry.Tag = entry.Stack = null;
        TaskCompletionSource? emptied = null;
        lock (_gate)
        {
            entry.Move(from, EntryState.Dead);
            _dead.Push(entry);
            _open--;
            if (wasCreating)
            {
                _creating--;
            }
            else
            {
                _closing--;
            }

            SetAttentionUnderLock(Surplus, _open > _limit);
            _idleShort = Math.Max(_idleShort, IdleShortUnderLock());
            if (_open == 0)
            {
                emptied = _emptied;
            }
        }

        emptied?.TrySetResult();
        _bound?.Release();
        StartCreates();
    }

    /// <summary>Runs work of the pool's own on the thread pool, in a clean execution context.</summary>
    private static void Run<TState>(TState state, Func<TState, Task> work) =>
        ThreadPool.UnsafeQueueUserWorkItem(static item => _ = item.work(item.state), (work, state), preferLocal: false);
}
