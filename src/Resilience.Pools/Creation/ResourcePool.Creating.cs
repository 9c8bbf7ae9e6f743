namespace Resilience.Pools;

/// <content>How resources are made: always in the background, never in a caller's context.</content>
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
        bool isLate = false;
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
                // A factory that does not heed its token keeps the place until it gives in, for what it makes counts against MaxSize. It is
                // no attempt any more: the next one must not have to wait for it. It may have succeeded in the moment in which its time
                // was up; what it made is late then too, and must not be forgotten.
                isLate = attempt is { IsFaulted: false, IsCanceled: false };
                NoteCreateFailure(failure, round, isLate);
                if (isLate)
                {
                    resource = await LateAsync(attempt!).ConfigureAwait(false);
                }
            }
        }

        if (resource is null)
        {
            Bury(entry, EntryState.Creating, isLate);
            return;
        }

        Interlocked.Increment(ref _created);
        Accept(entry, resource, generation, isLate);
    }

    private void Accept(PoolEntry<T> entry, T resource, int generation, bool isLate)
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
            EndCreateUnderLock(isLate);
            if (!isLate)
            {
                recovered = _circuit.Succeeded();
            }
        }

        if (recovered)
        {
            PoolsLog.BackendIsBack(_logger, Name);
        }

        if (isLate || (_attention & Closed) != 0 || IsOutdated(entry, now) || IsSurplus())
        {
            Close(entry, EntryState.Creating);
        }
        else
        {
            entry.Move(EntryState.Creating, EntryState.Reserved);
            Place(entry, now);
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

    private void EndCreateUnderLock(bool isLate)
    {
        if (isLate)
        {
            _late--;
        }
        else
        {
            _creating--;
        }
    }

    private void NoteCreateFailure(Exception failure, int round, bool isLate)
    {
        bool opened;
        int failures;
        List<PoolWaiter<T>>? hopeless = null;
        Exception? unavailable = null;
        lock (_gate)
        {
            if (isLate)
            {
                _creating--;
                _late++;
            }

            if ((_attention & Closed) != 0)
            {
                return;
            }

            long now = _clock.Milliseconds;
            opened = _circuit.Failed(failure, round, now, _options);
            failures = _circuit.Failures;

            // There is no pause to wait out where one that began with it has succeeded since.
            ArmUnderLock(Math.Max(_circuit.RetryAt, now), now);
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
    private bool IsHopelessUnderLock() => _circuit.State == PoolBackendState.Down && _open - _creating - _late - _closing <= 0;

    private PoolUnavailableException UnavailableUnderLock(long now) =>
        new(Name, _circuit.Failures, TimeSpan.FromMilliseconds(Math.Max(0, _circuit.RetryAt - now)), _circuit.LastFailure);

    private static async Task<T?> LateAsync(Task<T> attempt)
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

    /// <summary>Runs work of the pool's own on the thread pool, in a clean execution context.</summary>
    private static void Run<TState>(TState state, Func<TState, Task> work) =>
        ThreadPool.UnsafeQueueUserWorkItem(static item => _ = item.work(item.state), (work, state), preferLocal: false);
}
