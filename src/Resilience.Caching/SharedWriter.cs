using Resilience.Caching.Backplane;
using Resilience.Caching.Flights;
using Resilience.Caching.Invalidation;
using Resilience.Caching.Local;
using Resilience.Caching.Shared;
using Resilience.Caching.Telemetry;

namespace Resilience.Caching;

/// <summary>
/// Everything that goes to the shared tier: the values of loads, in the background and counted; sets and removals, awaited; and what it
/// missed while it was out, replayed when it is back.
/// </summary>
internal sealed class SharedWriter : IAsyncDisposable
{
    private static readonly TimeSpan FirstReplayPause = TimeSpan.FromMilliseconds(100);

    /// <summary>Between two attempts while the tier works but does not take what is left: no outage, so there is no hurry.</summary>
    private static readonly TimeSpan LongestReplayPause = TimeSpan.FromSeconds(5);

    private readonly CacheCore _core;
    private readonly SharedTierClient? _shared;
    private readonly RecoveryLog _missed;
    private readonly CancellationTokenSource _stopping = new();
    private readonly SemaphoreSlim _back = new(0, 1); // ends the pause between two replays; released under _lock alone
    private readonly Lock _lock = new(); // guards _isReplaying, _replaying, _drained
    private bool _isReplaying;
    private TimeSpan _pause = FirstReplayPause; // touched by the replay alone
    private Task _replaying = Task.CompletedTask;
    private TaskCompletionSource? _drained;
    private int _pending;

    public SharedWriter(CacheCore core)
    {
        _core = core;
        _shared = core.Shared;
        _missed = new RecoveryLog(() => core.Settings.Shared.MaxRecoveryKeys);
    }

    /// <summary>Called with each change that must be announced to other nodes.</summary>
    public Action<Change>? Announce { get; set; }

    /// <summary>How many missed changes wait.</summary>
    public int MissedCount => _missed.Count;

    /// <summary>Whether the shared tier's value of a key is older than a change of ours that it missed.</summary>
    public bool IsPending(string key) => _missed.HasKey(key);

    /// <summary>Writes the value of a load.</summary>
    /// <param name="flight">The flight.</param>
    /// <param name="entry">Its local entry, dropped when the tier refuses the value: the key was changed meanwhile.</param>
    /// <param name="write">The write.</param>
    /// <param name="mustFinish">Whether a caller waits for it, so that it counts against no bound.</param>
    public async Task WriteLoadedAsync(Flight flight, LocalEntry entry, SharedWrite write, bool mustFinish)
    {
        flight.IsHeld = true;
        if (Interlocked.Increment(ref _pending) > _core.Settings.Shared.MaxPendingWrites && !mustFinish)
        {
            _core.Statistics.Add(CacheCount.WritesDropped);
            Decrement();
            return;
        }

        TaskCompletionSource? done = null;
        try
        {
            if (!_shared!.IsAtomic)
            {
                lock (flight.Stripe.Lock)
                {
                    if (flight.IsDoomed)
                    {
                        return;
                    }

                    done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                    flight.Writing = done.Task;
                }
            }

            SharedOutcome outcome = await _shared.WriteAsync(write).ConfigureAwait(false);
            if (outcome == SharedOutcome.Refused)
            {
                lock (flight.Stripe.Lock)
                {
                    _core.Local.Remove(flight.Key, entry);
                    flight.Stripe.RemoveUnderLock(flight); // whoever comes now is not to get it either
                }
            }
        }
        finally
        {
            done?.TrySetResult();
            Decrement();
        }
    }

    /// <summary>Writes a value that was set.</summary>
    public async ValueTask SetAsync(string key, SharedWrite write, SharedBudget budget)
    {
        if (_shared is null)
        {
            return;
        }

        SharedOutcome outcome = await _shared.WriteAsync(write, budget).ConfigureAwait(false);
        Settle(key, outcome, MissedKind.Write, write.Value, write.TimeToLive);
        Announce?.Invoke(new Change(ChangeKind.Key, key, SharedEnvelope.Version(write.Value), default));
    }

    /// <summary>Removes or expires a key.</summary>
    public async ValueTask InvalidateAsync(string key, bool isRemoval, SharedBudget budget)
    {
        if (_shared is null)
        {
            return;
        }

        string sharedKey = _core.KeyPrefix + key;
        byte[] tombstone = SharedEnvelope.NewTombstone();
        long version = SharedEnvelope.Version(tombstone);
        SharedOutcome outcome = isRemoval
            ? await _shared.WriteAsync(new SharedWrite(sharedKey, tombstone, _core.Settings.Shared.TombstoneLifetime), budget).ConfigureAwait(false)
            : await _shared.ExpireAsync(sharedKey, version, budget).ConfigureAwait(false);
        Settle(key, outcome, isRemoval ? MissedKind.Remove : MissedKind.Expire, null, default);
        Announce?.Invoke(new Change(isRemoval ? ChangeKind.Key : ChangeKind.KeyExpired, key, version, default));
    }

    /// <summary>Raises a tag's version, or notes that it is to be raised.</summary>
    public async ValueTask RaiseAsync(TagState tag, bool isRemoval)
    {
        if (_shared is null)
        {
            return;
        }

        tag.BeginRaise();
        TagVersion version = await _core.Versions!.RaiseAsync(tag, isRemoval).ConfigureAwait(false);
        if (version == default)
        {
            _missed.AddTag(tag, isRemoval); // Nothing there is believed for the tag until the raise is made good.
        }

        tag.EndRaise();
        if (version == default)
        {
            StartReplay();
            return;
        }

        Announce?.Invoke(new Change(ChangeKind.Tag, tag.Name, 0, version));
    }

    /// <summary>Starts to make good what was missed, unless that is under way or the tier is known to be broken.</summary>
    /// <param name="isBack">Whether the tier has just come back, so that a replay which pauses goes on at once.</param>
    public void StartReplay(bool isBack = false)
    {
        lock (_lock)
        {
            if (_isReplaying)
            {
                if (isBack && _back.CurrentCount == 0)
                {
                    _back.Release();
                }
            }
            else if (IsReplayDueUnderLock())
            {
                _isReplaying = true;
                using (ExecutionContext.SuppressFlow())
                {
                    _replaying = Task.Run(ReplayUntilDoneAsync);
                }
            }
        }
    }

    /// <summary>Waits for background writes, within a time.</summary>
    public async ValueTask DrainAsync(TimeSpan within)
    {
        Task drained;
        lock (_lock)
        {
            if (Volatile.Read(ref _pending) == 0)
            {
                return;
            }

            drained = (_drained ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }

        // The count may have reached zero before the source was there to hear of it.
        if (Volatile.Read(ref _pending) > 0)
        {
            await Task.WhenAny(drained, Task.Delay(within, _core.Time)).ConfigureAwait(false);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await DrainAsync(_core.Settings.Shared.HardTimeout).ConfigureAwait(false);
        await _stopping.CancelAsync().ConfigureAwait(false);
        Task replaying;
        lock (_lock)
        {
            replaying = _replaying;
        }

        await replaying.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stopping.Dispose();
    }

    private void Settle(string key, SharedOutcome outcome, MissedKind kind, byte[]? value, TimeSpan timeToLive)
    {
        if (outcome != SharedOutcome.Unavailable)
        {
            _missed.Overtaken(key);
            return;
        }

        _missed.AddKey(key, kind, value, timeToLive);
        StartReplay();
    }

    private void Decrement()
    {
        if (Interlocked.Decrement(ref _pending) == 0)
        {
            lock (_lock)
            {
                _drained?.TrySetResult();
                _drained = null;
            }
        }
    }

    private async Task ReplayUntilDoneAsync()
    {
        while (GoesOn())
        {
            int before = _missed.Count;
            try
            {
                // The end of the cache does not wait for a tier that hangs; a call of it ends by itself.
                await ReplayAsync().AsTask().WaitAsync(_stopping.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
            {
                return;
            }
            catch (Exception exception)
            {
                CachingLog.UpkeepFailed(_core.Logger, _core.Name, exception);
            }

            // While it gets no further, such as when one change is refused for ever, it takes its time.
            _pause = _missed.Count < before ? FirstReplayPause : _pause * 2 > LongestReplayPause ? LongestReplayPause : _pause * 2;
            if (GoesOn())
            {
                await PauseAsync(_pause * (0.8 + (0.4 * _core.Random()))).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Waits a while, or until the tier is back.</summary>
    private async Task PauseAsync(TimeSpan length)
    {
        using var end = new CancellationTokenSource(length, _core.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(end.Token, _stopping.Token);
        await _back.WaitAsync(either.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>Whether to go on. The end is decided under the lock, so that a change that is missed in this moment, or a tier that comes back, starts a new replay.</summary>
    private bool GoesOn()
    {
        lock (_lock)
        {
            return _isReplaying = _isReplaying && IsReplayDueUnderLock();
        }
    }

    private bool IsReplayDueUnderLock() => _missed.Count > 0 && _shared!.IsOpenForCalls && !_stopping.IsCancellationRequested;

    /// <summary>One pass. Stops at the first sign that the tier is still out.</summary>
    internal async ValueTask<bool> ReplayAsync()
    {
        MissedChanges missed = _missed.Read();
        if (missed.Overflow != 0)
        {
            if (!await ReplayTagAsync(_core.Invalidations.Namespace, isRemoval: true).ConfigureAwait(false))
            {
                return false;
            }

            _missed.OverflowDone(missed.Overflow);
        }

        // What has failed least comes first: a change that the tier never takes must not keep the others waiting.
        IEnumerable<(int Attempts, Func<ValueTask<bool>> Replay)> work =
            missed.Tags.Select(tag => (tag.Attempts, (Func<ValueTask<bool>>)(() => ReplayTagAsync(tag))))
                .Concat(missed.Keys.Select(pair => (pair.Value.Attempts, (Func<ValueTask<bool>>)(() => ReplayKeyAsync(pair.Key, pair.Value)))));
        foreach ((_, Func<ValueTask<bool>> replay) in work.OrderBy(one => one.Attempts))
        {
            if (!await replay().ConfigureAwait(false) && !_shared!.IsOpenForCalls)
            {
                return false;
            }
        }

        return true;
    }

    private async ValueTask<bool> ReplayTagAsync(MissedTag missed)
    {
        if (!await ReplayTagAsync(missed.Tag, missed.IsRemoval).ConfigureAwait(false))
        {
            missed.Attempts++;
            return false;
        }

        _missed.TagDone(missed);
        return true;
    }

    private async ValueTask<bool> ReplayTagAsync(TagState tag, bool isRemoval)
    {
        TagVersion version = await _core.Versions!.RaiseAsync(tag, isRemoval).ConfigureAwait(false);
        if (version == default)
        {
            return false;
        }

        _core.Statistics.Add(CacheCount.Replayed);
        Announce?.Invoke(new Change(ChangeKind.Tag, tag.Name, 0, version));
        return true;
    }

    private async ValueTask<bool> ReplayKeyAsync(string key, MissedChange change)
    {
        string sharedKey = _core.KeyPrefix + key;
        long version = SharedEnvelope.NewVersion();
        SharedOutcome outcome;
        if (change.Kind == MissedKind.Expire)
        {
            outcome = await _shared!.ExpireAsync(sharedKey, version).ConfigureAwait(false);
        }
        else
        {
            // What another node wrote meanwhile may be newer or older than our value: only where there is nothing is ours written, else
            // the key is removed, which is right for both.
            outcome = change.Kind == MissedKind.Write
                ? await _shared!.WriteAsync(new SharedWrite(sharedKey, change.Value!, change.TimeToLive, IsConditional: true)).ConfigureAwait(false)
                : SharedOutcome.Refused;
            if (outcome == SharedOutcome.Refused)
            {
                byte[] tombstone = SharedEnvelope.NewTombstone();
                version = SharedEnvelope.Version(tombstone);
                outcome = await _shared!.WriteAsync(new SharedWrite(sharedKey, tombstone, _core.Settings.Shared.TombstoneLifetime)).ConfigureAwait(false);
            }
            else
            {
                version = SharedEnvelope.Version(change.Value);
            }
        }

        if (outcome == SharedOutcome.Unavailable)
        {
            // A value that the tier will not take while it works is given up; that the key changed is still to be said.
            change.Attempts++;
            if (change is { Kind: MissedKind.Write, Attempts: > 3 } && _shared!.IsOpenForCalls)
            {
                _missed.AddKey(key, MissedKind.Remove);
            }

            return false;
        }

        _missed.Done(key, change);
        _core.Statistics.Add(CacheCount.Replayed);
        Announce?.Invoke(new Change(change.Kind == MissedKind.Expire ? ChangeKind.KeyExpired : ChangeKind.Key, key, version, default));
        return true;
    }
}
