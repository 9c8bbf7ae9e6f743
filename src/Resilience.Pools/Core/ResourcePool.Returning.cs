namespace Resilience.Pools;

/// <content>How resources come back, and what is learned from their use.</content>
public sealed partial class ResourcePool<T>
{
    /// <summary>Ends a lease. Never throws, never waits.</summary>
    internal void Return(PoolEntry<T> entry, long version)
    {
        long word = entry.ReadWord();
        if ((word & ~EntryWord.Listed) == (version | (long)EntryState.Leased) && (_attention & (Waiting | Closed | Surplus | SlowReturn)) == 0 && entry.Generation == _generation && entry.LeasedTimestamp == 0 &&
            entry.TrySwap(word, (version + EntryWord.VersionUnit) | EntryWord.Listed | (long)EntryState.Idle))
        {
            if ((word & EntryWord.Listed) == 0)
            {
                _idle.Push(entry);
            }

            // The swap was a full fence, as a push is.
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
        long now = RoughTime();
        if (invalid || (_attention & Closed) != 0 || IsOutdated(entry, now) || IsSurplus())
        {
            Close(entry, EntryState.Reserved);
        }
        else if (_factory.Resets || _options.ValidateOnReturn)
        {
            Check(entry, _factory.Resets, _options.ValidateOnReturn);
        }
        else
        {
            Place(entry, now);
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

        if (entry.Admission is not null)
        {
            Interlocked.Exchange(ref entry.Admission, null)?.Dispose();
        }
    }

    /// <summary>Takes note of what a holder's code threw.</summary>
    internal bool ReportFailure(PoolEntry<T> entry, long version, Exception exception)
    {
        T? resource = Volatile.Read(ref entry.Resource);
        if (resource is null || !EntryWord.IsLeased(entry.ReadWord(), version) || !IsFatal(resource, exception))
        {
            return false;
        }

        entry.MarkInvalid(version);
        Suspect();
        return true;
    }

    /// <summary>A factory that fails to judge must not hide what went wrong; nobody knows then whether the resource still works.</summary>
    private bool IsFatal(T resource, Exception exception)
    {
        try
        {
            return _factory.IsFatal(resource, exception);
        }
        catch (Exception failure)
        {
            PoolsLog.CheckFailed(_logger, Name, failure);
            return true;
        }
    }

    /// <summary>Has every resource that is idle now validated before its next use.</summary>
    internal void Suspect()
    {
        long now = ReadClock();
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
}
