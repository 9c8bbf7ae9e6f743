namespace Resilience.Pools;

/// <content>How resources end, and when their places are free again.</content>
public sealed partial class ResourcePool<T>
{
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
        Bury(entry, EntryState.Closing);
    }

    /// <summary>Gives up the place of an entry whose resource is gone.</summary>
    private void Bury(PoolEntry<T> entry, EntryState from, bool isLate = false)
    {
        Volatile.Write(ref entry.Resource, null);
        entry.File = entry.Tag = entry.Stack = null;
        TaskCompletionSource? emptied = null;
        lock (_gate)
        {
            entry.Move(from, EntryState.Dead);
            _dead.Push(entry);
            _open--;
            if (from == EntryState.Creating)
            {
                EndCreateUnderLock(isLate);
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
}
