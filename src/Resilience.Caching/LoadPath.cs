using System.Runtime.ExceptionServices;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching.Flights;
using Resilience.Caching.Frames;
using Resilience.Caching.Invalidation;
using Resilience.Caching.Local;
using Resilience.Caching.Shared;
using Resilience.Caching.Telemetry;

namespace Resilience.Caching;

/// <summary>
/// What a flight does, in this order: (4) the shared tier; (5) the lease; (6) the factory, among a bounded number, under its timeouts;
/// (7) the commit, unless an invalidation came since the flight began.
/// </summary>
internal sealed class LoadPath(CacheCore core, SharedWriter writer)
{
    private static readonly AsyncLocal<Flight?> Ambient = new();

    /// <summary>The flight inside whose factory the caller runs, if it does.</summary>
    public static Flight? CurrentFlight => Ambient.Value;

    /// <summary>Flies: to the end, answering on the way. Never throws.</summary>
    public async Task RunAsync<T>(Flight<T> flight)
    {
        SharedStamp? stamp = null;
        LeaseHolder? lease = null;
        try
        {
            if (core.Shared is not null && (flight.Policy.ReadsShared || flight.Policy.WritesShared))
            {
                stamp = await LookAsync(flight).ConfigureAwait(false);
                if (flight.IsAnswered)
                {
                    return;
                }

                if (core.Shared.HasLeases && stamp.MayWrite && flight.Policy.Loads)
                {
                    lease = await LeaseAsync(flight, stamp).ConfigureAwait(false);
                    if (flight.IsAnswered)
                    {
                        return;
                    }
                }
            }

            if (!flight.Policy.Loads)
            {
                flight.Answer(default!, null, CacheOrigin.None, isStale: false);
                return;
            }

            await LoadAsync(flight, stamp).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            FallBack(flight, exception);
        }
        finally
        {
            flight.Finish();
            if (lease is not null)
            {
                await lease.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    /// <summary>A caller gives up. The last one to do so ends the flight.</summary>
    public void Leave(Flight flight)
    {
        lock (flight.Stripe.Lock)
        {
            if (--flight.Waiters > 0 || flight.IsAnswered)
            {
                return;
            }

            flight.Stripe.RemoveUnderLock(flight);
        }

        Cancel(flight);
    }

    /// <summary>Makes a load's value the key's entry and the flight's answer; then writes it to the shared tier.</summary>
    public async ValueTask CommitAsync<T>(Flight<T> flight, T value, CacheLoad<T>? load, SharedStamp? stamp, long cost)
    {
        EntryPolicy policy = load?.Options is { } options ? core.Policies.Get(options) : flight.Policy;
        bool isAbsent = load?.Verdict == LoadVerdict.Absent;
        TagState[]? tags = flight.Tags;
        if (load?.Tags is { } chosen)
        {
            tags = core.Invalidations.Resolve(chosen);
            if (stamp is not null)
            {
                TagVersions.Retag(stamp, tags);
            }
        }

        if (load?.Verdict == LoadVerdict.NotModified)
        {
            value = core.Entries.Materialise(load.Stale!);
        }

        bool keeps = !isAbsent || policy.NegativeExpiration > 0;
        var facts = new EntryFacts(flight.Start, tags, cost, load?.ETag, load?.LastModified);
        MadeEntry<T> made = core.Entries.Make(flight.Key, value, isAbsent, policy, facts, keeps ? stamp : null);
        if (made.IsOversized)
        {
            core.Statistics.Add(CacheCount.Oversized);
            CachingLog.Oversized(core.Logger, core.Name, typeof(T), core.Settings.MaxPayload);
        }

        bool isStored = false;
        bool writes = made.Frame is not null && !made.IsOversized;
        bool answersNow = !(writes && (core.Settings.Shared.AwaitWrites || stamp!.Fence != 0));
        lock (flight.Stripe.Lock)
        {
            flight.Tags = tags;
            if (flight.IsListed && core.Invalidations.IsCurrent(flight.Start, tags))
            {
                isStored = true;
                if (policy.WritesLocal && keeps && !made.IsOversized)
                {
                    core.Local.Set(flight.Key, made.Entry);
                }
            }

            if (answersNow)
            {
                flight.AnswerUnderLock(value, made.Entry, CacheOrigin.Source, isStale: false);
            }

        }

        if (!isStored)
        {
            core.Statistics.Add(CacheCount.Discarded);
        }
        else if (!isAbsent && value is not null)
        {
            // A null is a value to the cache, but no proof that the key exists: it is what most sources say of one that does not.
            core.Guard?.Exists(flight.Key);
        }

        if (isStored && writes)
        {
            var write = new SharedWrite(core.KeyPrefix + flight.Key, made.Frame!, made.TimeToLive, stamp!.IsConditional, stamp.ObservedVersion, stamp.Fence);
            Task writing = writer.WriteLoadedAsync(flight, made.Entry, write, mustFinish: !answersNow);
            if (!answersNow || !core.Shared!.IsAtomic)
            {
                // Without compare-and-set the flight stays in the list until its write is done, so that a removal can wait for it.
                await writing.ConfigureAwait(false);
            }
        }

        if (!answersNow)
        {
            flight.Answer(value, made.Entry, CacheOrigin.Source, isStale: false);
        }
    }

    /// <summary>
    /// A load failed: the stale copy stands in where there is one, and the source is left alone for a while; else the failure is everybody's
    /// answer.
    /// </summary>
    public void FallBack<T>(Flight<T> flight, Exception exception)
    {
        if (flight is { IsAnswered: true, IsListed: false })
        {
            return;
        }

        // Only a cancellation that we caused is one; any other (an HttpClient's timeout, say) is a failure of the source.
        bool isOurs = exception is OperationCanceledException && flight.Cancellation.IsCancellationRequested;
        if (!isOurs)
        {
            core.Statistics.Add(CacheCount.SourceFailure);
            CachingLog.LoadFailed(core.Logger, core.Name, exception);
        }

        long now = core.Clock.Milliseconds;
        lock (flight.Stripe.Lock)
        {
            if (flight.IsRefresh && flight.Stale is { } fresh && now < fresh.ExpiresAt)
            {
                // A refresh ahead of time that failed has cost nobody anything.
                flight.AnswerUnderLock(default!, fresh, CacheOrigin.Local, isStale: false);
                return;
            }

            if (flight.Stale is { } stale && IsUsableAsStale(stale, now, flight.Policy))
            {
                flight.AnswerUnderLock(default!, stale, CacheOrigin.Local, isStale: true);
                if (flight.IsListed)
                {
                    StandInUnderLock(flight, stale, now, flight.Policy.StaleThrottle);
                }

                return;
            }

            if (flight.Policy.FailureExpiration > 0 && flight.IsListed && flight.Policy.WritesLocal && !isOurs && !flight.Deadline.IsExpired)
            {
                RememberUnderLock(flight, exception, now);
            }
        }

        flight.Fail(ExceptionDispatchInfo.Capture(exception));
    }

    /// <summary>Step 4: asks the shared tier, and answers from it if it has a fresh value.</summary>
    private async ValueTask<SharedStamp> LookAsync<T>(Flight<T> flight)
    {
        SharedTierClient shared = core.Shared!;
        LocalEntry<T>? local = flight.Stale;
        bool isSuspect = local is not null && core.Clock.Milliseconds < local.ExpiresAt && core.Invalidations.Judge(local) == Standing.Suspect;
        if (writer.IsPending(flight.Key))
        {
            // What stands there is older than a write or removal of ours that is still to be made good.
            return new SharedStamp();
        }

        if (!flight.Policy.ReadsShared)
        {
            bool isKnown = await EnsureVersionsAsync(flight).ConfigureAwait(false);
            SharedStamp blind = core.Versions!.Take(flight.Tags);
            blind.IsConditional = false;
            blind.MayWrite &= isKnown;
            return blind;
        }

        // Versions first: what they bring may be an invalidation, and what is read after it is younger than that.
        bool known = await EnsureVersionsAsync(flight).ConfigureAwait(false);
        (SharedOutcome outcome, byte[]? value) = known ? await shared.ReadAsync(core.KeyPrefix + flight.Key, local is not null).ConfigureAwait(false) : default;
        if (outcome != SharedOutcome.Done || !known)
        {
            if (isSuspect)
            {
                TrustBlindly(flight, local!);
            }

            SharedStamp unfit = core.Versions!.Take(flight.Tags);
            unfit.MayWrite = false;
            return unfit;
        }

        SharedStamp stamp = core.Versions!.Take(flight.Tags);
        await AdoptAsync(flight, stamp, value).ConfigureAwait(false);
        return stamp;
    }

    /// <summary>Step 4 for many flights at once: one reading of versions, one of values.</summary>
    public async ValueTask<SharedStamp[]> LookManyAsync<T>(List<Flight<T>> flights)
    {
        var stamps = new SharedStamp[flights.Count];
        TagState[]? tags = flights[0].Tags;
        bool known = await core.Versions!.EnsureAsync(tags).ConfigureAwait(false);
        long start = core.Invalidations.Count.Current;
        for (int i = 0; i < stamps.Length; i++)
        {
            flights[i].Start = start;
            stamps[i] = core.Versions.Take(tags);
            stamps[i].MayWrite &= known && !writer.IsPending(flights[i].Key);
        }

        if (!known || !flights[0].Policy.ReadsShared)
        {
            return stamps;
        }

        int[] asked = [.. Enumerable.Range(0, stamps.Length).Where(i => !writer.IsPending(flights[i].Key))];
        (SharedOutcome outcome, byte[]?[]? values) = await core.Shared!.ReadManyAsync([.. asked.Select(i => core.KeyPrefix + flights[i].Key)]).ConfigureAwait(false);
        for (int at = 0; at < asked.Length; at++)
        {
            stamps[asked[at]].MayWrite &= outcome == SharedOutcome.Done;
            if (outcome == SharedOutcome.Done)
            {
                await AdoptAsync(flights[asked[at]], stamps[asked[at]], values![at]).ConfigureAwait(false);
            }
        }

        return stamps;
    }

    private async ValueTask<bool> EnsureVersionsAsync(Flight flight)
    {
        if (core.Versions!.AreKnown(flight.Tags))
        {
            return true;
        }

        bool known = await core.Versions.EnsureAsync(flight.Tags).ConfigureAwait(false);
        if (known)
        {
            // Nothing was read yet, so the flight may as well begin here.
            flight.Start = core.Invalidations.Count.Current;
        }

        return known;
    }

    /// <summary>Step 5: takes turns with other nodes.</summary>
    private async ValueTask<LeaseHolder?> LeaseAsync<T>(Flight<T> flight, SharedStamp stamp)
    {
        flight.BeganAt = core.Clock.Milliseconds;
        Arm(flight);
        LeaseHolder? lease = await LeaseHolder.TakeAsync(core, core.Shared!, flight, () => TryAdoptAsync(flight, stamp)).ConfigureAwait(false);
        stamp.Fence = lease?.Fence ?? 0;
        return lease;
    }

    /// <summary>Looks again while another node loads.</summary>
    private async ValueTask<bool> TryAdoptAsync<T>(Flight<T> flight, SharedStamp stamp)
    {
        (SharedOutcome outcome, byte[]? value) = await core.Shared!.ReadAsync(core.KeyPrefix + flight.Key, hasStale: false).ConfigureAwait(false);
        if (outcome == SharedOutcome.Done)
        {
            await AdoptAsync(flight, stamp, value).ConfigureAwait(false);
        }

        return outcome == SharedOutcome.Done;
    }

    /// <summary>Judges what the shared tier had; answers with it if it is fresh, keeps it as the stale copy if that is what it is.</summary>
    public async ValueTask AdoptAsync<T>(Flight<T> flight, SharedStamp stamp, byte[]? value)
    {
        if (value is null)
        {
            stamp.ObservedVersion = 0;
            return;
        }

        stamp.ObservedVersion = SharedEnvelope.Version(value);
        if (SharedEnvelope.State(value) == SharedEnvelope.Tombstone)
        {
            // Removed, by whomever: our own copy, if it is no younger, is gone with it.
            DropOlder(flight);
            return;
        }

        if (!FrameCodec.TryRead(flight.Key, value, core.Settings.MaxPayload, out Frame frame))
        {
            core.Statistics.Add(CacheCount.BadFrame);
            return;
        }

        TagState[]? tags = core.Invalidations.Resolve([.. frame.Header.Tags.Select(tag => tag.Name)]);
        if (!await core.Versions!.EnsureAsync(tags).ConfigureAwait(false))
        {
            return;
        }

        Standing standing = core.Versions.Judge(frame.Header, tags);
        if (standing == Standing.Gone)
        {
            DropOlder(flight);
            return;
        }

        if (flight.IsRefresh && flight.Stale?.Version == frame.Version)
        {
            return;
        }

        if (core.Entries.Make<T>(flight.Key, frame, flight.Policy, flight.Start, tags) is not { } entry)
        {
            return;
        }

        long now = core.Clock.Milliseconds;
        bool isFresh = standing == Standing.Good && now < entry.ExpiresAt;
        if (!isFresh)
        {
            entry.ExpiresAt = Math.Min(entry.ExpiresAt, now);
            entry.ActAt = Math.Min(entry.ActAt, now);
            if (flight.Stale is null || flight.Stale.CreatedAt <= entry.CreatedAt)
            {
                flight.Stale = entry;
            }

            return;
        }

        AnswerFromShared(flight, entry, tags);
    }

    private void AnswerFromShared<T>(Flight<T> flight, LocalEntry<T> entry, TagState[]? tags)
    {
        bool isSame = flight.Stale?.Version == entry.Version;
        lock (flight.Stripe.Lock)
        {
            flight.Tags = tags;
            if (flight.IsListed && flight.Policy.WritesLocal && core.Invalidations.IsCurrent(flight.Start, tags))
            {
                core.Local.Set(flight.Key, entry);
            }

            flight.AnswerUnderLock(default!, entry, CacheOrigin.Shared, isStale: false);
        }

        core.Statistics.Add(isSame ? CacheCount.Revalidated : CacheCount.SharedHit);
    }

    /// <summary>The key was removed in the shared tier since our copy was made.</summary>
    private void DropOlder<T>(Flight<T> flight)
    {
        lock (flight.Stripe.Lock)
        {
            if (flight.Stale is { } stale)
            {
                core.Local.Remove(flight.Key, stale);
                flight.Stale = null;
            }
        }
    }

    /// <summary>
    /// A fresh copy that should be compared with the shared tier, which is out of reach: it holds for as long as the settings let a node be
    /// blind.
    /// </summary>
    private void TrustBlindly<T>(Flight<T> flight, LocalEntry<T> entry)
    {
        long end = core.DistrustedSince + (long)core.Settings.Shared.BlindFor.TotalMilliseconds;
        long now = core.Clock.Milliseconds;
        if (now >= end)
        {
            return;
        }

        lock (flight.Stripe.Lock)
        {
            if (flight.IsListed && core.Invalidations.Judge(entry) == Standing.Suspect)
            {
                entry.ExpiresAt = Math.Min(entry.ExpiresAt, end);
                entry.ActAt = Math.Min(entry.ActAt, end);
                entry.Stamp = Math.Max(entry.Stamp, flight.Start);
                flight.AnswerUnderLock(default!, entry, CacheOrigin.Local, isStale: false);
            }
        }
    }

    /// <summary>Step 6: the factory.</summary>
    private async ValueTask LoadAsync<T>(Flight<T> flight, SharedStamp? stamp)
    {
        flight.BeganAt = core.Clock.Milliseconds;
#pragma warning disable VSTHRD103 // With a timeout of zero it does not wait: it asks, without the price of a task.
        bool isAdmitted = core.LoadPermits.Wait(0, CancellationToken.None);
#pragma warning restore VSTHRD103
        if (!isAdmitted)
        {
            Arm(flight);
            await core.LoadPermits.WaitAsync(flight.Cancellation.Token).ConfigureAwait(false);
        }

        flight.PermitState = 1;
        core.Statistics.Add(CacheCount.SourceLoad);
        AsyncServiceScope? scope = null;
        try
        {
            CacheLoad<T>? load = flight.WantsLoad ? new CacheLoad<T>(flight.Key, UsableStale(flight), core.Entries.Materialise) : null;
            if (load is not null)
            {
                load.Services = core.Services;
                if (flight.Policy.FreshScope && core.Services is not null)
                {
                    scope = core.Services.CreateAsyncScope();
                    load.Services = scope.Value.ServiceProvider;
                }
            }

            Ambient.Value = flight;
            ValueTask<T> pending = core.Pipeline is null
                ? flight.InvokeAsync(load, flight.Cancellation.Token)
                : core.Pipeline.ExecuteAsync(static (work, token) => work.flight.InvokeAsync(work.load, token), (flight, load), flight.Cancellation.Token);
            if (!pending.IsCompleted)
            {
                Arm(flight);
            }

            T value = await pending.ConfigureAwait(false);
            ReleasePermit(flight);
            await CommitAsync(flight, value, load, stamp, core.Clock.Milliseconds - flight.BeganAt).ConfigureAwait(false);
        }
        finally
        {
            ReleasePermit(flight);
            if (scope is { } own)
            {
                await own.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    private LocalEntry<T>? UsableStale<T>(Flight<T> flight) =>
        flight.Stale is { } stale && core.Clock.Milliseconds < stale.DeadAt && core.Invalidations.Judge(stale) != Standing.Gone ? stale : null;

    /// <summary>Starts the flight's clock, once it is known that somebody has to wait.</summary>
    private void Arm<T>(Flight<T> flight)
    {
        if (flight.Timer is not null)
        {
            return;
        }

        long spent = core.Clock.Milliseconds - flight.BeganAt;
        EntryPolicy policy = flight.Policy;
        bool hasSoft = policy.SoftTimeout >= 0 && policy.SoftTimeout < policy.LoadTimeout && !flight.IsRefresh && flight.Stale is not null;
        flight.SoftPassed = !hasSoft;
        long due = Math.Max(1, (hasSoft ? policy.SoftTimeout : policy.LoadTimeout) - spent);
        using (ExecutionContext.SuppressFlow())
        {
            flight.Timer = core.Time.CreateTimer(static state => ((Action)state!)(), (Action)(() => OnTimer(flight)), TimeSpan.FromMilliseconds(due), Timeout.InfiniteTimeSpan);
        }
    }

    private void OnTimer<T>(Flight<T> flight)
    {
        long now = core.Clock.Milliseconds;
        if (!flight.SoftPassed)
        {
            flight.SoftPassed = true;
            lock (flight.Stripe.Lock)
            {
                if (flight.Stale is { } stale && IsUsableAsStale(stale, now, flight.Policy) && flight.AnswerUnderLock(default!, stale, CacheOrigin.Local, isStale: true))
                {
                    core.Statistics.Add(CacheCount.SoftTimeout);
                }
            }

            flight.Timer?.Change(TimeSpan.FromMilliseconds(Math.Max(1, flight.BeganAt + flight.Policy.LoadTimeout - now)), Timeout.InfiniteTimeSpan);
            return;
        }

        core.Statistics.Add(CacheCount.LoadTimeout);
        ReleasePermit(flight);
        FallBack(flight, new CacheLoadTimeoutException(core.Name, TimeSpan.FromMilliseconds(flight.Policy.LoadTimeout)));
        flight.Finish();
        Cancel(flight);
    }

    private bool IsUsableAsStale(LocalEntry stale, long now, EntryPolicy policy) =>
        policy.StaleFor > 0 && now < stale.DeadAt && core.Invalidations.Judge(stale) != Standing.Gone;

    /// <summary>Lets a stale copy be handed out at once for a while. Called under the stripe's lock.</summary>
    private void StandInUnderLock<T>(Flight<T> flight, LocalEntry<T> stale, long now, long throttle)
    {
        if (throttle <= 0 || !flight.Policy.WritesLocal)
        {
            return;
        }

        // The order matters to readers without the lock: no longer fresh, then handed out for a while, then no longer suspect.
        stale.ExpiresAt = Math.Min(stale.ExpiresAt, now);
        stale.ActAt = Math.Min(stale.DeadAt, now + (long)(throttle * (0.9 + (0.2 * core.Random()))));
        stale.Stamp = Math.Max(stale.Stamp, flight.Start);
        if (!ReferenceEquals(core.Local.Find(flight.Key), stale))
        {
            core.Local.Set(flight.Key, stale);
        }
    }

    private void RememberUnderLock(Flight flight, Exception exception, long now)
    {
        long until = now + flight.Policy.FailureExpiration;
        core.Local.Set(flight.Key, new FailureEntry(ExceptionDispatchInfo.Capture(exception))
        {
            ActAt = until,
            ExpiresAt = until,
            DeadAt = until,
            Stamp = flight.Start,
            Tags = flight.Tags,
            CreatedAt = now,
            Weight = 512,
        });
    }

    private void ReleasePermit(Flight flight)
    {
        if (Interlocked.Exchange(ref flight.PermitState, 0) == 1)
        {
            core.LoadPermits.Release();
        }
    }

    /// <summary>Cancels a flight's token, away from the caller: what is registered there is the factory's business.</summary>
    private void Cancel(Flight flight)
    {
        Task cancelling = flight.Cancellation.CancelAsync();
        if (!cancelling.IsCompletedSuccessfully)
        {
            _ = cancelling.ContinueWith(
                static (task, state) => CachingLog.CancellationFailed(((CacheCore)state!).Logger, ((CacheCore)state).Name, task.Exception!),
                core,
                CancellationToken.None,
                TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously,
                TaskScheduler.Default);
        }
    }
}
