namespace Resilience.Pools;

/// <content>How resources are reset and validated: in the background, unless a reset has nothing to wait for.</content>
public sealed partial class ResourcePool<T>
{
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
                CancellationTokenSource limit = entry.ResetLimit!;
                entry.ResetLimit = null;
                limit.CancelAfter(_options.ValidateTimeout);
                Run((Pool: this, Entry: entry, Done: done, Limit: limit), static work => work.Pool.FinishResetAsync(work.Entry, work.Done, work.Limit));
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
            // Its timer is started only if the reset has to be waited for, and it serves until that happens.
            entry.ResetLimit ??= new CancellationTokenSource(Timeout.InfiniteTimeSpan, _time);
            return _factory.ResetAsync(entry.Resource!, entry.ResetLimit.Token);
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

    private async Task FinishResetAsync(PoolEntry<T> entry, ValueTask<bool> reset, CancellationTokenSource limit)
    {
        using (limit)
        {
            await FinishCheckAsync(entry, reset).ConfigureAwait(false);

            // For one that was given up: at its time, or because the pool closes.
            await limit.CancelAsync().ConfigureAwait(false);
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
        Task<bool> running = check.AsTask();
        try
        {
            works = await running.WaitAsync(_options.ValidateTimeout, _time, _lifetime.Token).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            PoolsLog.CheckFailed(_logger, Name, exception);
            AbandonedTask.Observe(running);
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
            Place(entry, now);
        }
    }
}
