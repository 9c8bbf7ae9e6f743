namespace Resilience.Pools;

/// <content>The one timer: deadlines of those who wait, pauses between creations, and the regular sweep.</content>
public sealed partial class ResourcePool<T>
{
    private const long LongestSweepInterval = 250;
    private const long ShortestSweepInterval = 20;

    private long SweepIntervalUnderLock()
    {
        // Often enough that everything with a limit is noticed well within it.
        long shortest = Math.Min(
            Math.Min(Milliseconds(_options.LeakThreshold), Milliseconds(_options.IdleTimeout)),
            Math.Min(Milliseconds(_options.MaxLifetime), Math.Min(Milliseconds(_options.KeepAliveInterval), _sizer is null ? long.MaxValue : Milliseconds(_options.AdaptiveSizing.Window))));
        return Math.Clamp(shortest / 4, ShortestSweepInterval, LongestSweepInterval);
    }

    private void StartUpkeepUnderLock(long now)
    {
        if (_nextSweep == 0)
        {
            _nextSweep = now + SweepIntervalUnderLock();
        }

        ArmUnderLock(_nextSweep, now);
    }

    /// <summary>Has the timer fire no later than a moment. It is never put off: a timer that fires for nothing costs less than moving it.</summary>
    private void ArmUnderLock(long due, long now)
    {
        if (due >= _armedFor)
        {
            return;
        }

        if (_timer is null)
        {
            // A timer keeps the context of its maker alive; this one's maker may be a request.
            AsyncFlowControl? flow = ExecutionContext.IsFlowSuppressed() ? null : ExecutionContext.SuppressFlow();
            _timer = _time.CreateTimer(static pool => ((ResourcePool<T>)pool!).OnTimer(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            flow?.Undo();
        }

        _armedFor = due;
        _timer.Change(TimeSpan.FromMilliseconds(Math.Clamp(due - now, 1, 86_400_000)), Timeout.InfiniteTimeSpan);
    }

    private void OnTimer()
    {
        List<PoolWaiter<T>>? expired = null;
        bool sweeps = false;
        lock (_gate)
        {
            _armedFor = long.MaxValue;
            long now = ReadClock();
            while (_waiters.DequeueExpired(now) is { } waiter)
            {
                (expired ??= []).Add(waiter);
            }

            SetAttentionUnderLock(Waiting, _waiters.Count > 0);
            if (now >= _nextSweep && !_isSweeping)
            {
                // One at a time: its notes on the entries are for itself alone.
                sweeps = _isSweeping = true;
                _nextSweep = now + SweepIntervalUnderLock();
            }
        }

        if (expired is not null)
        {
            PoolSnapshot snapshot = TakeSnapshot();
            foreach (PoolWaiter<T> waiter in expired)
            {
                FailExhausted(waiter, snapshot);
            }
        }

        try
        {
            if (sweeps)
            {
                Sweep();
            }

            Pump();
        }
        finally
        {
            lock (_gate)
            {
                _isSweeping &= !sweeps;
                long now = _clock.Milliseconds;
                ArmUnderLock(_waiters.EarliestDue, now);
                if ((_attention & Closed) == 0 || _open > 0)
                {
                    // An empty pool that nobody waits for and that keeps nothing ready needs no sweep until it makes something.
                    if (_open > 0 || _options.MinIdle > 0 || _sizer is not null)
                    {
                        ArmUnderLock(_nextSweep, now);
                    }
                    else
                    {
                        _nextSweep = 0;
                    }
                }
            }
        }
    }

    /// <summary>Walks over all places: names leaks, retires what is old, too long idle or too many, keeps the rest alive.</summary>
    private void Sweep()
    {
        PoolOptions options = _options;
        PoolEntry<T>[] entries = Volatile.Read(ref _entries);
        long now = ReadClock();
        long idleTimeout = Milliseconds(options.IdleTimeout);
        long keepAlive = Milliseconds(options.KeepAliveInterval);
        int idle = 0;
        int leased = 0;
        foreach (PoolEntry<T> entry in entries)
        {
            EntryState state = EntryWord.State(entry.ReadWord());
            idle += state == EntryState.Idle ? 1 : 0;
            leased += state == EntryState.Leased ? 1 : 0;
        }

        int spare = Math.Max(0, idle - options.MinIdle);
        foreach (PoolEntry<T> entry in entries)
        {
            long word = entry.ReadWord();
            switch (EntryWord.State(word))
            {
                case EntryState.Leased:
                    NoteSeen(entry, word, now);
                    LookForLeak(entry, word, now, options);
                    break;
                case EntryState.Idle:
                    NoteSeen(entry, word, now);
                    bool isSpare = spare > 0 && now - entry.SeenAt >= idleTimeout;
                    if (isSpare || IsOutdated(entry, now))
                    {
                        if (TryReserve(entry, word))
                        {
                            spare -= isSpare ? 1 : 0;
                            Close(entry, EntryState.Reserved);
                        }
                    }
                    else if (now - Math.Max(entry.ValidatedAt, entry.LeasedAt) >= keepAlive && Volatile.Read(ref _checking) < options.MaxConcurrentCreates && TryReserve(entry, word))
                    {
                        Check(entry, reset: false, validate: true);
                    }

                    break;
            }
        }

        Resettle(leased, now);
    }

    /// <summary>Notes since when an entry is leased or idle as it is now, at the latest: its own times are rough.</summary>
    private static void NoteSeen(PoolEntry<T> entry, long word, long now)
    {
        long seen = word & (EntryWord.VersionMask | EntryWord.StateMask);
        if (entry.SeenWord != seen || entry.SeenAt == 0)
        {
            (entry.SeenWord, entry.SeenAt) = (seen, now);
        }
    }

    /// <summary>What follows from a walk: how many idle ones are missing, and what size the pool should have.</summary>
    private void Resettle(int leased, long now)
    {
        lock (_gate)
        {
            EndNestingWatchUnderLock(now);
            _idleShort = IdleShortUnderLock();
            if (_sizer is not null && _sizer.Tick(now, leased, _waiters.Count > 0, _circuit.Failures > 0) is { } size && size != _limit)
            {
                PoolsLog.Resized(_logger, Name, _limit, size);
                SetLimitUnderLock(size);
            }
        }

        TrimSurplus();
        StartCreates();
    }

    /// <summary>How many resources should be made so that enough lie idle.</summary>
    private int IdleShortUnderLock()
    {
        int wanted = _options.MinIdle;
        if (wanted == 0 || (_attention & Closed) != 0)
        {
            return 0;
        }

        int ready = _creating + Volatile.Read(ref _checking);
        foreach (PoolEntry<T> entry in _entries)
        {
            ready += EntryWord.State(entry.ReadWord()) == EntryState.Idle ? 1 : 0;
        }

        return Math.Max(0, Math.Min(wanted - ready, _limit - _open));
    }

    /// <summary>Takes an idle entry for the pool where it lies; on the stack, it stays listed.</summary>
    private static bool TryReserve(PoolEntry<T> entry, long word) =>
        EntryWord.State(word) == EntryState.Idle && entry.TrySwap(word, (word & ~EntryWord.StateMask) | (long)EntryState.Reserved);

    /// <summary>Whether a resource has outlived itself: too old, or of a generation that was cleared and whose turn has come.</summary>
    private bool IsOutdated(PoolEntry<T> entry, long now)
    {
        if (now >= entry.ExpiresAt)
        {
            return true;
        }

        if (entry.Generation == _generation)
        {
            return false;
        }

        if (entry.Generation - _goneBefore < 0)
        {
            return true;
        }

        // In a pool that has shrunk a place may lie beyond the limit; its turn comes within the pace all the same.
        return now >= Volatile.Read(ref _clearedAt) + (Volatile.Read(ref _clearPace) * entry.Index / Math.Max(_limit, entry.Index + 1));
    }

    private bool IsSurplus() => _open - Volatile.Read(ref _closing) > _limit;

    /// <summary>Destroys idle resources beyond the limit.</summary>
    private void TrimSurplus()
    {
        while ((_attention & Surplus) != 0 && IsSurplus() && TryCloseOneIdle())
        {
        }
    }

    private bool TryCloseOneIdle()
    {
        foreach (PoolEntry<T> entry in Volatile.Read(ref _entries))
        {
            if (TryReserve(entry, entry.ReadWord()))
            {
                Close(entry, EntryState.Reserved);
                return true;
            }
        }

        return false;
    }

    private PoolSnapshot TakeSnapshot() => Snapshot();
}
