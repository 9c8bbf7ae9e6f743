using System.Runtime.CompilerServices;
using Microsoft.Extensions.Caching.Hybrid;
using Resilience.Caching.Flights;
using Resilience.Caching.Invalidation;
using Resilience.Caching.Local;
using Resilience.Caching.Telemetry;
using Resilience.Context;

namespace Resilience.Caching;

/// <summary>
/// How a read goes, in this order: (1) the local tier; (2) the guard; (3) the key's flight, joined or begun. What a flight does is in
/// <see cref="LoadPath"/>.
/// </summary>
internal sealed class ReadPath(CacheCore core, LoadPath loads, AnswerWait waits)
{
    /// <summary>Step 1: a fresh value that all callers share. Everything a hit costs is in here.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryHit<T>(ReadOnlySpan<char> key, LocalEntry? found, out T value)
    {
        if (found is SharedEntry<T> entry)
        {
            long now = core.Clock.Milliseconds;
            if (now < entry.ActAt && core.Invalidations.IsGood(entry))
            {
                CountHit(key, entry, now);
                value = entry.Value;
                return true;
            }
        }

        value = default!;
        return false;
    }

    /// <summary>
    /// The rest of a read, once step 1 found nothing that could simply be handed out; what it found all the same is an entry of a mutable
    /// type, one that is due, or an expired copy.
    /// </summary>
    public ValueTask<T> ReadAsync<TState, T>(string key, TState state, Delegate? factory, EntryPolicy policy, IReadOnlyCollection<string>? tags, LocalEntry? found, CancellationToken cancellationToken)
    {
        if (found is not null && TryUse(key, found, policy, out T? value, out bool refresh))
        {
            if (refresh)
            {
                BeginRefresh<TState, T>(key, state, factory, policy, tags, (LocalEntry<T>)found);
            }

            return new ValueTask<T>(value!);
        }

        if (IsRefused(key))
        {
            return new ValueTask<T>(default(T)!);
        }

        if (TryServeStale(key, state, factory, policy, tags, found, out value))
        {
            return new ValueTask<T>(value!);
        }

        return FlyAsync<TState, T>(key, state, factory, policy, tags, found, cancellationToken);
    }

    /// <summary>Step 3: joins the key's flight, or begins it.</summary>
    private ValueTask<T> FlyAsync<TState, T>(string key, TState state, Delegate? factory, EntryPolicy policy, IReadOnlyCollection<string>? tags, LocalEntry? found, CancellationToken cancellationToken)
    {
        TagState[]? states = core.Invalidations.Resolve(tags);
        Flight? outer = Reentrancy.Current;
        if (outer is not null)
        {
            Reentrancy.ThrowIfInside(outer, core, key);
        }

        Deadline deadline = RequestScope.Current?.Deadline ?? Deadline.None;
        if (deadline.IsExpired)
        {
            return new ValueTask<T>(core.Entries.Materialise(StaleOrLate(key, found as LocalEntry<T>, policy, RequestScope.Current!)));
        }

        long joinedAt = core.Invalidations.Count.Current;
        KeyStripe stripe = core.Stripes[key];
        Flight<T>? flight;
        Task? answered = null;
        bool isLeader = false;
        lock (stripe.Lock)
        {
            flight = JoinUnderLock<T>(stripe, key, policy);
            if (flight is not null)
            {
                core.Statistics.Add(CacheCount.Joined);
                answered = flight.AnsweredUnderLock();
                flight.Waiters++;
            }
            else if (NewerUnderLock(key, policy, ref found))
            {
                // A flight that ended since step 1 has brought it.
            }
            else
            {
                flight = BeginUnderLock<TState, T>(stripe, key, state, factory, policy, states, outer, found);
                flight.LeaderDeadline = deadline.IsNone ? null : deadline;
                flight.Waiters++;
                isLeader = true;
            }
        }

        if (flight is null)
        {
            return ReadAsync<TState, T>(key, state, factory, policy, tags, found, cancellationToken);
        }

        if (isLeader && TryRun(flight, out T? value, out answered))
        {
            return new ValueTask<T>(value!);
        }

        return AwaitAsync(flight, answered!, isLeader, joinedAt, key, state, factory, policy, tags, cancellationToken);
    }

    /// <summary>Runs a flight on its leader's stack, so that the leader's ambient context flows into the factory.</summary>
    /// <returns>Whether it was answered at once, with the value; the flight is not to be touched any more then. Else there is what ends with the answer.</returns>
    private bool TryRun<T>(Flight<T> flight, out T? value, out Task? answered)
    {
        Task running = loads.RunAsync(flight);
        value = default;
        answered = null;
        if (flight.IsAnswered)
        {
            value = TakeAnswer(flight, isLeader: true);
            if (running.IsCompleted)
            {
                flight.Recycle();
            }

            return true;
        }

        lock (flight.Stripe.Lock)
        {
            answered = flight.AnsweredUnderLock();
        }

        return false;
    }

    /// <summary>Step 2: whether the guard knows that the key cannot exist.</summary>
    public bool IsRefused(string key)
    {
        if (core.Guard is null || core.Guard.Check(key) != GuardVerdict.DefinitelyAbsent)
        {
            return false;
        }

        core.Statistics.Add(CacheCount.GuardRefusal);
        return true;
    }

    /// <summary>Uses an entry that step 1 could not simply hand out: of a mutable type, due for a refresh or a touch, or a remembered failure.</summary>
    public bool TryUse<T>(string key, LocalEntry found, EntryPolicy policy, out T? value, out bool refresh)
    {
        value = default;
        refresh = false;
        long now = core.Clock.Milliseconds;
        if (!core.Invalidations.IsGood(found) || (now >= found.ActAt && now >= found.ExpiresAt))
        {
            return false;
        }

        if (found is FailureEntry failed)
        {
            failed.Failure.Throw();
        }

        if (found is not LocalEntry<T> entry)
        {
            return false;
        }

        if (now >= entry.ActAt)
        {
            refresh = !Touch(key, entry, policy);
        }

        CountHit(key, entry, now);
        value = core.Entries.Materialise(entry);
        return true;
    }

    /// <summary>Finds a flight that a caller may wait for. Called under the stripe's lock.</summary>
    public Flight<T>? JoinUnderLock<T>(KeyStripe stripe, string key, EntryPolicy policy)
    {
        for (Flight? at = stripe.FirstUnderLock; at is not null; at = at.Next)
        {
            // A flight that an invalidation of a tag has overtaken brings what a caller of now must not see.
            if (at is not Flight<T> flight || !flight.Suits(key, policy.Flags) || !core.Invalidations.IsCurrent(flight.Start, flight.Tags))
            {
                continue;
            }

            if (!flight.IsAnswered || !flight.IsTooOldFor(core.Invalidations.Count.Current, core.Invalidations))
            {
                return flight;
            }

            // It has answered with a copy that was removed since, and loads on: a new one loads instead.
            stripe.RemoveUnderLock(flight);
            return null;
        }

        return null;
    }

    /// <summary>
    /// Begins a flight. Called under the stripe's lock, and with what stands in the local tier under it: a copy that was found before the
    /// lock may have been removed since, and must not come back as the stale one.
    /// </summary>
    public Flight<T> BeginUnderLock<TState, T>(KeyStripe stripe, string key, TState state, Delegate? factory, EntryPolicy policy, TagState[]? tags, Flight? outer, LocalEntry? current)
    {
        Flight<T> flight = Flight<TState, T>.Begin(key, core.Invalidations.Count.Current, policy, tags, stripe, state, factory);
        flight.Outer = outer;
        flight.Stale = current as LocalEntry<T>;
        stripe.AddUnderLock(flight);
        return flight;
    }

    /// <summary>
    /// Looks again, now that nothing can change: whether there is an entry that was not there at the first look and may be used. What was
    /// found at the first look is replaced by what stands there.
    /// </summary>
    public bool NewerUnderLock(string key, EntryPolicy policy, ref LocalEntry? found)
    {
        LocalEntry? before = found;
        found = policy.ReadsLocal ? core.Local.Find(key) : null;
        return found is not null && !ReferenceEquals(found, before) && core.Clock.Milliseconds < found.ExpiresAt && core.Invalidations.IsGood(found);
    }

    /// <summary>Renews an entry in the background, unless somebody does already.</summary>
    private void BeginRefresh<TState, T>(string key, TState state, Delegate? factory, EntryPolicy policy, IReadOnlyCollection<string>? tags, LocalEntry<T> entry)
    {
        if (!policy.Loads || factory is null)
        {
            return;
        }

        TagState[]? states = core.Invalidations.Resolve(tags);
        KeyStripe stripe = core.Stripes[key];
        Flight<T> flight;
        lock (stripe.Lock)
        {
            if (JoinUnderLock<T>(stripe, key, policy) is not null || !ReferenceEquals(core.Local.Find(key), entry))
            {
                return;
            }

            // Whoever comes next finds nothing due: one refresh per entry.
            entry.ActAt = entry.ExpiresAt;
            flight = BeginUnderLock<TState, T>(stripe, key, state, factory, policy, states, null, entry);
            flight.IsRefresh = true;
            flight.Waiters++;
        }

        if (core.Clock.Milliseconds < entry.ExpiresAt)
        {
            core.Statistics.Add(CacheCount.EagerRefresh);
        }

        // With the reader's ambient context: a factory that reads the tenant from it must find it, whoever happens to wait.
        ThreadPool.QueueUserWorkItem(static work => _ = work.loads.RunAsync(work.flight), (loads, flight), preferLocal: false);
    }

    /// <summary>Hands out a stale copy at once and loads in the background: what a feature that is degraded asks for.</summary>
    private bool TryServeStale<TState, T>(string key, TState state, Delegate? factory, EntryPolicy policy, IReadOnlyCollection<string>? tags, LocalEntry? found, out T? value)
    {
        value = default;
        if (StaleFirst<T>(found, policy) is not { } stale)
        {
            return false;
        }

        BeginRefresh<TState, T>(key, state, factory, policy, tags, stale);
        core.NoteStaleServed(key);
        value = core.Entries.Materialise(stale);
        return true;
    }

    /// <summary>The stale copy that may be handed out at once; <see langword="null"/> where there is none or loads are to be waited for.</summary>
    public LocalEntry<T>? StaleFirst<T>(LocalEntry? found, EntryPolicy policy) =>
        core.ServesStaleFirst && policy.StaleFor > 0 && found is LocalEntry<T> stale && core.Clock.Milliseconds < stale.DeadAt
            && core.Invalidations.Judge(stale) is Standing.Good or Standing.Expired // one that other nodes may have removed is not known to be good enough
            ? stale : null;

    private async ValueTask<T> AwaitAsync<TState, T>(Flight<T> flight, Task answered, bool isLeader, long joinedAt, string key, TState state, Delegate? factory, EntryPolicy policy, IReadOnlyCollection<string>? tags, CancellationToken cancellationToken)
    {
        RequestScope? scope = RequestScope.Current;
        if (!await waits.ForAnswerAsync(flight, answered, scope, cancellationToken).ConfigureAwait(false))
        {
            return core.Entries.Materialise(StaleOrLate(key, flight.Stale, policy, scope!));
        }

        // An answer that is older than the caller may see, or a failure that was only the leader's lack of time, is none for a joiner.
        bool isNoAnswer = !isLeader && (flight.IsTooOldFor(joinedAt, core.Invalidations) || flight.IsOutOfLeadersTime(flight.Failure?.SourceException));
        return isNoAnswer
            ? await ReadAsync<TState, T>(key, state, factory, policy, tags, policy.ReadsLocal ? core.Local.Find(key) : null, cancellationToken).ConfigureAwait(false)
            : TakeAnswer(flight, isLeader);
    }

    /// <summary>What a caller gets whose request has no time left: the stale copy.</summary>
    /// <exception cref="DeadlineExceededException">There is none.</exception>
    public LocalEntry<T> StaleOrLate<T>(string key, LocalEntry<T>? stale, EntryPolicy policy, RequestScope scope)
    {
        if (policy.StaleFor == 0 || stale is null || !core.IsOfUse(stale))
        {
            throw AnswerWait.Late(core.Name, scope);
        }

        core.NoteStaleServed(key);
        return stale;
    }

    /// <summary>What a caller gets of a flight's answer.</summary>
    public T TakeAnswer<T>(Flight<T> flight, bool isLeader)
    {
        flight.Failure?.Throw();
        if (flight.IsStale)
        {
            core.NoteStaleServed(flight.Key);
        }

        // The leader has the value itself, where the source or the shared tier has just given it; everybody else has one of the entry.
        return flight.Entry is { } entry && !(isLeader && flight.Origin is CacheOrigin.Source or CacheOrigin.Shared) ? core.Entries.Materialise(entry) : flight.Value;
    }

    /// <summary>Renews a sliding copy.</summary>
    /// <returns>Whether that was all there was to do.</returns>
    private bool Touch<T>(string key, LocalEntry<T> entry, EntryPolicy policy)
    {
        if (entry.Extras is not { Sliding: > 0 } extras)
        {
            return false;
        }

        long now;
        lock (core.Stripes[key].Lock)
        {
            // Whoever expired it in the meantime, by a later reading of the clock than the reader's, is not to be overruled.
            now = core.Clock.Milliseconds;
            if (now < entry.ExpiresAt)
            {
                entry.ExpiresAt = Math.Min(extras.SlidingEnd, now + extras.Sliding);
                entry.ActAt = Math.Min(entry.ExpiresAt, now + Math.Max(1, extras.Sliding / 8));
            }
        }

        return policy.EagerRefresh == 0 || now < extras.SlidingEnd - (long)((1 - policy.EagerRefresh) * policy.Expiration);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void CountHit(ReadOnlySpan<char> key, LocalEntry entry, long now)
    {
        if (core.Statistics.AddHit())
        {
            core.HotKeys.Note(key);
        }

        if (now >= entry.ExpiresAt)
        {
            core.NoteStaleServed(key);
        }
        else if (entry.IsAbsent)
        {
            core.Statistics.Add(CacheCount.NegativeHit);
        }
    }
}
