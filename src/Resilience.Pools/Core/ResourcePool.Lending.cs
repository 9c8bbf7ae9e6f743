using System.Runtime.CompilerServices;

namespace Resilience.Pools;

/// <content>How what is idle goes out, and who of those who wait gets it.</content>
public sealed partial class ResourcePool<T>
{
    /// <summary>How many of the newest are looked at where they lie.</summary>
    private const int MaxDepthInPlace = 4;

    /// <summary>
    /// Leases one of the newest that is idle and needs no check, where it lies: the whole of an acquire that meets nobody. The stack is
    /// not touched, so that it costs one swap, and giving it back another. Whoever pops an entry that is leased in place unlists it.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryLeaseInPlace(string? file, int line, string? tag, out PoolLease<T> lease)
    {
        int index = _idle.Top;

        // A link may lead astray when the stack changes meanwhile, in a pool that grows beyond the array. That is no matter: an idle entry
        // may be leased wherever it was found.
        PoolEntry<T>[] entries = Volatile.Read(ref _entries);
        for (int depth = 0; (uint)(index - 1) < (uint)entries.Length && depth < MaxDepthInPlace; depth++)
        {
            PoolEntry<T> entry = entries[index - 1];
            long word = entry.ReadWord();
            if (EntryWord.State(word) == EntryState.Idle)
            {
                long now = RoughTime();
                if (!IsFit(entry, now))
                {
                    break;
                }

                NoteLeasedAt(entry, now);
                if (entry.TrySwap(word, word + (EntryState.Leased - EntryState.Idle)))
                {
                    Note(entry, file, line, tag);
                    lease = new PoolLease<T>(entry, EntryWord.Version(word));
                    return true;
                }
            }

            index = Volatile.Read(ref entry.Below);
        }

        lease = default;
        return false;
    }

    /// <summary>The same by way of popping, which gets rid of what is not idle any more. Stops at the first that needs a check: more are not its to disturb.</summary>
    private bool TryLeasePopped(string? file, int line, string? tag, out PoolLease<T> lease)
    {
        while (_idle.Pop(ref _entries) is { } entry)
        {
            while (true)
            {
                long word = entry.ReadWord();
                if (EntryWord.State(word) != EntryState.Idle)
                {
                    if (entry.TrySwap(word, word & ~EntryWord.Listed))
                    {
                        break;
                    }

                    continue;
                }

                long now = RoughTime();
                if (!IsFit(entry, now))
                {
                    if (entry.TrySwap(word, EntryWord.Version(word) | (long)EntryState.Reserved))
                    {
                        See(entry, now);
                        lease = default;
                        return false;
                    }

                    continue;
                }

                NoteLeasedAt(entry, now);
                if (entry.TrySwap(word, EntryWord.Version(word) | (long)EntryState.Leased))
                {
                    Note(entry, file, line, tag);
                    lease = new PoolLease<T>(entry, EntryWord.Version(word));
                    return true;
                }
            }
        }

        lease = default;
        return false;
    }

    /// <summary>
    /// Before the word says Leased: a sweep that sees the lease must not see the time of the one before. Several may do so for one idle
    /// entry, and not all of them get it; the time only grows, and to an entry that stays idle a later one means nothing.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void NoteLeasedAt(PoolEntry<T> entry, long now)
    {
        if (now > entry.LeasedAt)
        {
            entry.LeasedAt = now;
        }
    }

    /// <summary>Whether an idle resource may be leased without a check.</summary>
    private bool IsFit(PoolEntry<T> entry, long now) =>
        (entry.Generation == _generation || !IsOutdated(entry, now)) && now < entry.ExpiresAt && !NeedsCheck(entry, now);

    private bool NeedsCheck(PoolEntry<T> entry, long now) =>
        now - entry.LeasedAt >= _validateAfter || entry.LeasedAt <= Volatile.Read(ref _suspectBefore);

    /// <summary>Notes who holds an entry. The entry is leased, and its fields are the caller's. Writes only what differs: the same caller comes again.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Note(PoolEntry<T> entry, string? file, int line, string? tag)
    {
        if (!ReferenceEquals(entry.File, file))
        {
            entry.File = file;
        }

        entry.Line = line;
        if (!ReferenceEquals(entry.Tag, tag))
        {
            entry.Tag = tag;
        }

        if ((_attention & Telling) != 0 || _useTime.Enabled || entry.IsTold)
        {
            NoteMore(entry, file, line);
        }
    }

    /// <summary>What is noted of some leases only: a stack, the precise time.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void NoteMore(PoolEntry<T> entry, string? file, int line)
    {
        uint every = _sampleEvery;
        entry.Stack = (every != 0 && ++entry.LeaseCount % every == 0) || IsLeaky(file, line) ? CallersStack() : null;
        entry.LeasedTimestamp = _sizer is not null || _useTime.Enabled ? _time.GetTimestamp() : 0;
        entry.IsTold = entry.Stack is not null || entry.LeasedTimestamp != 0;
    }

    /// <summary>Notes a permit that lives as long as the lease. The lease may have been taken away meanwhile; then nobody else gives the permit back.</summary>
    private static void NoteAdmission(PoolEntry<T> entry, long version, IDisposable? permit)
    {
        if (permit is null)
        {
            return;
        }

        // Noted, then looked: whoever takes a lease away moves the word on first and looks for a permit next.
        IDisposable? others = Interlocked.Exchange(ref entry.Admission, permit);
        if (others is null && EntryWord.IsLeased(entry.ReadWord(), version))
        {
            return;
        }

        if (Interlocked.CompareExchange(ref entry.Admission, others, permit) == permit)
        {
            permit.Dispose();
        }
        else
        {
            others?.Dispose();
        }
    }

    /// <summary>Serves those who wait from what is idle, then has made what is still wanting.</summary>
    /// <returns>False when what is idle has to be checked first, and as much as callers wait for is being checked.</returns>
    private bool Pump()
    {
        bool isFit = true;
        while ((_attention & Waiting) != 0 && _idle.Pop(ref _entries) is { } entry)
        {
            if (!TryReservePopped(entry))
            {
                continue;
            }

            long now = ReadClock();
            if (IsFit(entry, now))
            {
                if (!TryGrant(entry, now))
                {
                    PutBack(entry);
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
                PutBack(entry);
                isFit = false;
                break;
            }
        }

        StartCreates();
        return isFit;
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
    private bool TryGrant(PoolEntry<T> entry, long now)
    {
        PoolWaiter<T>? waiter = null;
        bool outdated;
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

        NoteLeasedAt(entry, now);
        entry.Admission = waiter.Admission;
        long version = entry.Move(EntryState.Reserved, EntryState.Leased);
        NoteGranted(entry, waiter);

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

    /// <summary>The same of a lease that was waited for: its caller's stack was taken where the wait began.</summary>
    private void NoteGranted(PoolEntry<T> entry, PoolWaiter<T> waiter)
    {
        entry.File = waiter.File;
        entry.Line = waiter.Line;
        entry.Tag = waiter.Tag;
        if (waiter.Stack is not null || entry.IsTold || (_attention & Telling) != 0 || _useTime.Enabled)
        {
            entry.Stack = waiter.Stack;
            entry.LeasedTimestamp = _sizer is not null || _useTime.Enabled ? _time.GetTimestamp() : 0;
            entry.IsTold = entry.Stack is not null || entry.LeasedTimestamp != 0;
        }
    }

    /// <summary>Apart, because a closure is allocated where the variables that it captures begin, needed or not.</summary>
    private static void NoteHeld(NestedAcquire nested, PoolEntry<T> entry, long version) =>
        nested.Holds(() => EntryWord.IsLeased(entry.ReadWord(), version));

    /// <summary>Gives a reserved entry in good order to whoever waits, or lays it on the stack.</summary>
    private void Place(PoolEntry<T> entry, long now)
    {
        if (_bound is { IsWanted: true } bound && (_attention & Waiting) != 0 && bound.IsOwedBy(this))
        {
            // Callers of others wait too, and those have less: who is always busy must not keep them out for ever.
            Close(entry, EntryState.Reserved);
            return;
        }

        if ((_attention & Waiting) == 0 || !TryGrant(entry, now))
        {
            PutOnStack(entry);
            LookAgain();
            GiveUpWanted();
        }
    }

    /// <summary>Idle here, wanted elsewhere. Looked at after the push, as those who want look at what is idle after they said so.</summary>
    private void GiveUpWanted()
    {
        if (_bound is { IsWanted: true } && (_attention & Waiting) == 0)
        {
            TryCloseOneIdle();
        }
    }

    private void PutOnStack(PoolEntry<T> entry)
    {
        if (entry.MoveToIdle(EntryState.Reserved))
        {
            _idle.Push(entry);
        }
    }

    /// <summary>The same of an entry that was reserved for nothing: a drain, a smaller limit or another pool's want that came meanwhile has passed it by.</summary>
    private void PutBack(PoolEntry<T> entry)
    {
        PutOnStack(entry);
        CloseUnwanted();
        GiveUpWanted();
    }

    /// <summary>After a push, which was a full fence: sees to what came up meanwhile.</summary>
    private void LookAgain()
    {
        if ((_attention & Waiting) != 0)
        {
            Pump();
        }

        CloseUnwanted();
    }

    /// <summary>Destroys what is idle and may not be, because the pool closes or has become smaller.</summary>
    private void CloseUnwanted()
    {
        int attention = _attention;
        if ((attention & Closed) != 0)
        {
            CloseIdle();
        }
        else if ((attention & Surplus) != 0)
        {
            TrimSurplus();
        }
    }
}
