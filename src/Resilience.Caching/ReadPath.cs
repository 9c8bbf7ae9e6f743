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
internal sealed class ReadPath(CacheCore core, LoadPath loads)
{
    /// <summary>Step 1: a fresh value that all callers share. Everything a hit costs is in here.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryHit<T>(LocalEntry? found, out T value)
    {
        if (found is LocalEntry<T> { IsShared: true } entry)
        {
            long now = core.Clock.Milliseconds;
            if (now < entry.ActAt && core.Invalidations.IsGood(entry))
            {
                core.Statistics.Add(CacheCount.LocalHit);
                if (now >= entry.ExpiresAt)
                {
                    core.Statistics.Add(CacheCount.StaleServed);
                }
                else if (entry.IsAbsent)
                {
                    core.Statistics.Add(CacheCount.NegativeHit);
                }

                value = entry.Value;
                return true;
            }
        }

        value = default!;
        return false;
    }

    /// <summary>The rest of a read, once step 1 found nothing that could simply be handed out.</summary>
    public ValueTask<T> ReadAsync<TState, T>(string key, TState state, Delegate? factory, EntryPolicy policy, IReadOnlyCollection<string>? tags, CancellationToken cancellationToken)
    {
        LocalEntry? found = policy.ReadsLocal ? core.Local.Find(key) : null;
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

        if (found is not null && core.ServesStaleFirst && TryServeStale(found, policy, out T? old))
        {
            BeginRefresh<TState, T>(key, state, factory, policy, tags, (LocalEntry<T>)found);
            return new ValueTask<T>(old!);
        }

        TagState[]? states = core.Invalidations.Resolve(tags);
        Flight? outer = LoadPath.CurrentFlight;
        if (outer is not null)
        {
            ThrowIfReentrant(outer, key);
        }

        long joinedAt = core.Invalidations.Count.Current;
        KeyStripe stripe = core.Stripes[key];
        Flight<T>? flight = null;
        Task? answered = null;
        bool isLeader = false;
        lock (stripe.Lock)
        {
            flight = JoinUnderLock<T>(stripe, key, policy);
            if (flight is null)
            {
                flight = BeginUnderLock<TState, T>(stripe, key, state, factory, policy, states, outer, found);
                isLeader = true;
            }
            else
            {
                core.Statistics.Add(CacheCount.Joined);
                answered = flight.AnsweredUnderLock();
            }

            flight.Waiters++;
        }

        if (isLeader)
        {
            // The leader's ambient context flows into the factory, because the flight starts on the leader's stack.
            _ = loads.RunAsync(flight);
            if (flight.IsAnswered)
            {
                return new ValueTask<T>(TakeAnswer(flight, isLeader));
            }

            lock (stripe.Lock)
            {
                answered = flight.AnsweredUnderLock();
            }
        }

        return AwaitAsync(flight, answered!, isLeader, joinedAt, key, state, factory, policy, tags, cancellationToken);
    }

    /// <summary>Looks at an entry without using it.</summary>
    public CacheResult<T> Peek<T>(LocalEntry? found)
    {
        long now = core.Clock.Milliseconds;
        if (found is not LocalEntry<T> entry || now >= entry.DeadAt)
        {
            return default;
        }

        Standing standing = core.Invalidations.Judge(entry);
        if (standing is Standing.Gone or Standing.Suspect)
        {
            return default;
        }

        bool isStale = standing == Standing.Expired || now >= entry.ExpiresAt;
        TimeSpan age = TimeSpan.FromMilliseconds(now - entry.CreatedAt);
        return entry.IsAbsent
            ? new CacheResult<T>(false, default, CacheOrigin.Local, isStale, !isStale, age)
            : new CacheResult<T>(true, core.Entries.Materialise(entry), CacheOrigin.Local, isStale, false, age);
    }

    /// <summary>Looks into the shared tier by a flight without a factory, so that it is shared and judged like any other.</summary>
    public async ValueTask<CacheResult<T>> PeekSharedAsync<T>(string key, CacheResult<T> local, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        Flight<T> flight = BeginLook<T>(key);
        try
        {
            await loads.RunAsync(flight).WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            loads.Leave(flight);
            throw;
        }

        if (flight.Failure is null && flight.Origin == CacheOrigin.Shared && flight.Entry is { } entry)
        {
            CacheResult<T> found = Peek<T>(entry);
            return found with { Origin = CacheOrigin.Shared };
        }

        if (flight.Stale is { } stale && Peek<T>(stale) is { } old && (old.HasValue || old.IsKnownAbsent))
        {
            return ReferenceEquals(stale, core.Local.Find(key)) ? old : old with { Origin = CacheOrigin.Shared };
        }

        return core.Local.Find(key) is null ? default : local;
    }

    /// <summary>Begins a flight that only looks.</summary>
    public Flight<T> BeginLook<T>(string key)
    {
        KeyStripe stripe = core.Stripes[key];
        lock (stripe.Lock)
        {
            Flight<T> flight = BeginUnderLock<object?, T>(stripe, key, null, null, core.Policies.Look, null, null, core.Local.Find(key));
            flight.Waiters++;
            return flight;
        }
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
            refresh = !Touch(entry, now, policy);
        }

        core.Statistics.Add(CacheCount.LocalHit);
        if (now >= entry.ExpiresAt)
        {
            core.Statistics.Add(CacheCount.StaleServed);
        }
        else if (entry.IsAbsent)
        {
            core.Statistics.Add(CacheCount.NegativeHit);
        }

        value = core.Entries.Materialise(entry);
        return true;
    }

    /// <summary>Answers with a copy that is past its expiry, while the cache serves stale copies first. One that other nodes may have removed is not known to be good enough.</summary>
    public bool TryServeStale<T>(LocalEntry found, EntryPolicy policy, out T? value)
    {
        value = default;
        if (found is not LocalEntry<T> entry || policy.StaleFor <= 0 || core.Clock.Milliseconds >= entry.DeadAt
            || core.Invalidations.Judge(entry) is not (Standing.Good or Standing.Expired))
        {
            return false;
        }

        core.Statistics.Add(CacheCount.LocalHit);
        core.Statistics.Add(CacheCount.StaleServed);
        value = core.Entries.Materialise(entry);
        return true;
    }

    /// <summary>Finds a flight that a caller may wait for. Called under the stripe's lock.</summary>
    public Flight<T>? JoinUnderLock<T>(KeyStripe stripe, string key, EntryPolicy policy)
    {
        for (Flight? at = stripe.FirstUnderLock; at is not null; at = at.Next)
        {
            // A flight that an invalidation of a tag has overtaken brings what a caller of now must not see.
            if (at is Flight<T> flight && flight.Suits(key, policy.Flags) && core.Invalidations.IsCurrent(flight.Start, flight.Tags))
            {
                return flight;
            }
        }

        return null;
    }

    /// <summary>Begins a flight. Called under the stripe's lock.</summary>
    public Flight<T> BeginUnderLock<TState, T>(KeyStripe stripe, string key, TState state, Delegate? factory, EntryPolicy policy, TagState[]? tags, Flight? outer, LocalEntry? found)
    {
        var flight = new Flight<TState, T>(key, core.Invalidations.Count.Current, policy, tags, stripe, state, factory)
        {
            Owner = core,
            Outer = outer,
            Deadline = RequestScope.Current?.Deadline ?? Deadline.None,
            Stale = found as LocalEntry<T>,
        };
        stripe.AddUnderLock(flight);
        return flight;
    }

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
            // Whoever comes next finds nothing due: one refresh per entry.
            entry.ActAt = entry.ExpiresAt;
            if (JoinUnderLock<T>(stripe, key, policy) is not null)
            {
                return;
            }

            flight = BeginUnderLock<TState, T>(stripe, key, state, factory, policy, states, null, entry);
            flight.IsRefresh = core.Clock.Milliseconds < entry.ExpiresAt;
            flight.Deadline = Deadline.None;
            flight.Waiters++;
        }

        if (flight.IsRefresh)
        {
            core.Statistics.Add(CacheCount.EagerRefresh);
        }

        ThreadPool.UnsafeQueueUserWorkItem(static work => _ = work.loads.RunAsync(work.flight), (loads, flight), preferLocal: false);
    }

    private async ValueTask<T> AwaitAsync<TState, T>(Flight<T> flight, Task answered, bool isLeader, long joinedAt, string key, TState state, Delegate? factory, EntryPolicy policy, IReadOnlyCollection<string>? tags, CancellationToken cancellationToken)
    {
        RequestScope? scope = RequestScope.Current;
        if ((cancellationToken.CanBeCanceled || scope is { Deadline.IsNone: false }) && !answered.IsCompleted)
        {
            try
            {
                await WaitWithinAsync(answered, scope, cancellationToken).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!flight.IsAnswered)
            {
                loads.Leave(flight);
                throw;
            }
            catch (OperationCanceledException)
            {
                // The answer came in the same moment: an answered caller is not cancelled.
            }
        }
        else
        {
            await answered.ConfigureAwait(false);
        }

        if (!isLeader && (flight.IsTooOldFor(joinedAt, core.Invalidations) || IsOutOfLeadersTime(flight, scope)))
        {
            return await ReadAsync<TState, T>(key, state, factory, policy, tags, cancellationToken).ConfigureAwait(false);
        }

        return TakeAnswer(flight, isLeader);
    }

    /// <summary>
    /// Whether a load failed when the time of the request that began it was up, which bounds what the factory calls: whoever has time left tries
    /// with that.
    /// </summary>
    public static bool IsOutOfLeadersTime(Flight flight, RequestScope? scope) =>
        flight is { Failure: not null, Deadline.IsExpired: true } && scope is not { Deadline.IsExpired: true };

    /// <summary>Waits for a write or removal no longer than the request has; it goes on all the same.</summary>
    public ValueTask WithinAsync(ValueTask work) =>
        work.IsCompleted || RequestScope.Current is not { Deadline.IsNone: false } scope ? work : new ValueTask(WaitWithinAsync(work.AsTask(), scope, CancellationToken.None));

    /// <summary>Waits no longer than the request has: the load goes on for those who have more time, or ends with its last waiter.</summary>
    public async Task WaitWithinAsync(Task answered, RequestScope? scope, CancellationToken cancellationToken)
    {
        TimeSpan left = scope?.Deadline.Remaining ?? Timeout.InfiniteTimeSpan;
        try
        {
            await answered.WaitAsync(left, core.Time, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException exception)
        {
            throw new DeadlineExceededException(
                $"Cache '{core.Name}': what it was asked for was not done when the deadline of request '{scope!.Id}' passed.", TimeSpan.Zero, TimeSpan.Zero, scope.IsDeadlineCallerChosen, exception);
        }
    }

    /// <summary>What a caller gets of a flight's answer.</summary>
    public T TakeAnswer<T>(Flight<T> flight, bool isLeader)
    {
        flight.Failure?.Throw();
        if (flight.IsStale)
        {
            core.Statistics.Add(CacheCount.StaleServed);
        }

        return flight.Entry is { } entry && !(isLeader && flight.Origin == CacheOrigin.Source) ? core.Entries.Materialise(entry) : flight.Value;
    }

    /// <summary>Renews a sliding copy.</summary>
    /// <returns>Whether that was all there was to do.</returns>
    private static bool Touch<T>(LocalEntry<T> entry, long now, EntryPolicy policy)
    {
        if (entry.Extras is not { Sliding: > 0 } extras)
        {
            return false;
        }

        entry.ExpiresAt = Math.Min(extras.SlidingEnd, now + extras.Sliding);
        entry.ActAt = Math.Min(entry.ExpiresAt, now + Math.Max(1, extras.Sliding / 8));
        return policy.EagerRefresh == 0 || now < extras.SlidingEnd - (long)((1 - policy.EagerRefresh) * policy.Expiration);
    }

    private void ThrowIfReentrant(Flight outer, string key)
    {
        for (Flight? at = outer; at is not null; at = at.Outer)
        {
            if (ReferenceEquals(at.Owner, core) && string.Equals(at.Key, key, StringComparison.Ordinal) && !at.IsDoomed && !at.IsAnswered)
            {
                var chain = new List<string> { key };
                for (Flight? link = outer; link is not null && !ReferenceEquals(link, at.Outer); link = link.Outer)
                {
                    chain.Insert(0, link.Key);
                }

                throw new CacheReentrancyException(core.Name, chain);
            }
        }
    }
}
