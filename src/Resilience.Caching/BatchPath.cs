using Resilience.Caching.Flights;
using Resilience.Caching.Invalidation;
using Resilience.Caching.Loading;
using Resilience.Caching.Local;
using Resilience.Caching.Telemetry;
using Resilience.Context;

namespace Resilience.Caching;

/// <summary>
/// Reads of many keys: the local tier key by key, then one read of the shared tier and one factory call for what is missing
/// (<see cref="BatchLoad"/>). Each key has its flight all the same: whoever asks for one of them meanwhile waits for the batch, and the
/// batch waits for what is under way.
/// </summary>
internal sealed class BatchPath(CacheCore core, ReadPath reads, LookPath looks, LoadPath loads, AnswerWait waits, BatchLoad batches)
{
    private static readonly HashSet<Flight> NoneLate = [];

    public async ValueTask<IReadOnlyDictionary<string, T>> ReadAsync<TState, T>(IEnumerable<string> keys, TState state, Func<IReadOnlyList<string>, TState, CancellationToken, ValueTask<IReadOnlyDictionary<string, T>>> factory, EntryPolicy policy, IReadOnlyCollection<string>? tags, CancellationToken cancellationToken)
    {
        var found = new Dictionary<string, T>(StringComparer.Ordinal);
        var missing = new List<(string Key, LocalEntry? Found)>();
        var due = new List<(string Key, LocalEntry<T> Entry)>();
        foreach (string key in keys.Distinct(StringComparer.Ordinal))
        {
            LocalEntry? entry = policy.ReadsLocal ? core.Local.Find(key) : null;
            if (entry is not null && reads.TryUse(key, entry, policy, out T? value, out bool refresh))
            {
                Keep(found, key, value!, (LocalEntry<T>)entry);
                if (refresh)
                {
                    due.Add((key, (LocalEntry<T>)entry));
                }
            }
            else if (reads.IsRefused(key))
            {
                // There is no such thing.
            }
            else if (reads.StaleFirst<T>(entry, policy) is { } stale)
            {
                core.NoteStaleServed(key);
                Keep(found, key, stale);
                due.Add((key, stale));
            }
            else
            {
                missing.Add((key, entry));
            }
        }

        TagState[]? states = core.Invalidations.Resolve(tags);
        batches.BeginRefresh(due, state, factory, policy, states);
        if (missing.Count > 0)
        {
            await FillAsync(found, missing, state, factory, policy, tags, states, cancellationToken).ConfigureAwait(false);
        }

        return found;
    }

    /// <summary>Looks without loading: fresh values alone.</summary>
    public async ValueTask<IReadOnlyDictionary<string, T>> LookAsync<T>(IEnumerable<string> keys, CancellationToken cancellationToken)
    {
        var found = new Dictionary<string, T>(StringComparer.Ordinal);
        var flights = new List<Flight<T>>();
        TimeSpan limit = AnswerWait.Limit(RequestScope.Current);
        foreach (string key in keys.Distinct(StringComparer.Ordinal))
        {
            CacheResult<T> local = looks.Peek<T>(core.Local.Find(key));
            if (local is { HasValue: true, IsStale: false })
            {
                found[key] = local.Value!;
            }
            else if (!local.IsKnownAbsent && core.Shared is not null && limit != TimeSpan.Zero)
            {
                flights.Add(looks.Begin<T>(key));
            }
        }

        if (flights.Count == 0)
        {
            return found;
        }

        Task looking = LookToTheEndAsync(flights);
        await looking.WaitAsync(limit, core.Time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (looking.IsCompleted)
        {
            await looking.ConfigureAwait(false); // Even if the time was up in the same moment: what it ended with counts.
        }
        else
        {
            // Whoever has joined one of them waits on. Where only the request has no time left, what was found is what there is.
            looking.Observe();
            flights.ForEach(loads.Leave);
            cancellationToken.ThrowIfCancellationRequested();
        }

        foreach (Flight<T> flight in flights.Where(flight => flight is { IsAnswered: true, Origin: CacheOrigin.Shared }))
        {
            Take(found, flight, core.Policies.Look, null, isLeader: true, isLate: false);
        }

        return found;
    }

    private async Task LookToTheEndAsync<T>(List<Flight<T>> flights)
    {
        try
        {
            await loads.Shared.LookManyAsync(flights).ConfigureAwait(false);
        }
        finally
        {
            flights.ForEach(flight => flight.Finish());
        }
    }

    /// <summary>Gets what the local tier did not have: loads what nobody loads, waits for the rest.</summary>
    private async ValueTask FillAsync<TState, T>(Dictionary<string, T> found, List<(string Key, LocalEntry? Found)> missing, TState state, Func<IReadOnlyList<string>, TState, CancellationToken, ValueTask<IReadOnlyDictionary<string, T>>> factory, EntryPolicy policy, IReadOnlyCollection<string>? tags, TagState[]? states, CancellationToken cancellationToken)
    {
        Flight? outer = Reentrancy.Current;
        if (outer is not null)
        {
            missing.ForEach(one => Reentrancy.ThrowIfInside(outer, core, one.Key));
        }

        RequestScope? scope = RequestScope.Current;
        if (scope is { Deadline.IsExpired: true })
        {
            missing.ForEach(one => Keep(found, one.Key, reads.StaleOrLate(one.Key, one.Found as LocalEntry<T>, policy, scope)));
            return;
        }

        // From the first flight that is begun to the first await nothing throws: others may wait for it already.
        var parts = new BatchParts<T>();
        foreach ((string key, LocalEntry? entry) in missing)
        {
            JoinOrBegin(key, policy, states, entry, outer, scope, parts);
        }

        FlightBatch? own = parts.Owned.Count == 0 ? null : new FlightBatch(parts.Owned);
        if (own is not null)
        {
            _ = batches.FlyAsync(parts.Owned, state, factory, policy);
        }

        int left = 0; // how many of the joined flights have been waited for
        List<string>? again = null;
        try
        {
            parts.Newer.ForEach(newer => Keep(found, newer.Key, newer.Entry));
            if (own is not null)
            {
                HashSet<Flight> late = await AwaitOwnAsync(own, outer, scope, cancellationToken).ConfigureAwait(false);
                parts.Owned.ForEach(flight => Take(found, flight, policy, scope, isLeader: true, isLate: late.Contains(flight)));
            }

            foreach ((Flight<T> flight, Task answered, long joinedAt) in parts.Joined)
            {
                left++;
                bool isInTime = await waits.ForAnswerAsync(flight, answered, scope, cancellationToken).ConfigureAwait(false);
                if (isInTime && (flight.IsTooOldFor(joinedAt, core.Invalidations) || flight.IsOutOfLeadersTime(flight.Failure?.SourceException)))
                {
                    (again ??= []).Add(flight.Key);
                }
                else
                {
                    Take(found, flight, policy, scope, isLeader: false, isLate: !isInTime);
                }
            }
        }
        catch
        {
            parts.Joined.Skip(left).ToList().ForEach(wait => loads.Leave(wait.Flight));
            throw;
        }

        if (again is not null)
        {
            foreach ((string key, T value) in await ReadAsync(again, state, factory, policy, tags, cancellationToken).ConfigureAwait(false))
            {
                found[key] = value;
            }
        }
    }

    /// <summary>Waits until all flights that the batch began are answered, or its request has no time left.</summary>
    /// <returns>Those that had no answer when the time was up, and were left.</returns>
    private async ValueTask<HashSet<Flight>> AwaitOwnAsync(FlightBatch own, Flight? outer, RequestScope? scope, CancellationToken cancellationToken)
    {
        if (own.Answered.IsCompleted)
        {
            return NoneLate;
        }

        try
        {
            if (outer is not null)
            {
                Reentrancy.BeginWait(outer, own.Flights, core.Name);
            }

            await own.Answered.WaitAsync(AnswerWait.Limit(scope), core.Time, cancellationToken).ConfigureAwait(false);
            return NoneLate;
        }
        catch (Exception exception)
        {
            // Before they are left: once nobody waits the load is cancelled, and that would pass for an answer.
            HashSet<Flight> late = [.. own.Flights.Where(static flight => !flight.IsAnswered)];
            foreach (Flight flight in own.Flights)
            {
                loads.Leave(flight);
            }

            if (exception is not TimeoutException)
            {
                throw;
            }

            return late;
        }
        finally
        {
            if (outer is not null)
            {
                Reentrancy.EndWait(outer, own.Flights);
            }
        }
    }

    private void JoinOrBegin<T>(string key, EntryPolicy policy, TagState[]? tags, LocalEntry? entry, Flight? outer, RequestScope? scope, BatchParts<T> parts)
    {
        KeyStripe stripe = core.Stripes[key];
        long joinedAt = core.Invalidations.Count.Current;
        lock (stripe.Lock)
        {
            if (reads.JoinUnderLock<T>(stripe, key, policy) is { } flight)
            {
                core.Statistics.Add(CacheCount.Joined);
                parts.Joined.Add((flight, flight.AnsweredUnderLock(), joinedAt));
            }
            else if (reads.NewerUnderLock(key, policy, ref entry) && entry is LocalEntry<T> newer)
            {
                // A flight that ended since the first look has brought it.
                core.Statistics.Add(CacheCount.LocalHit);
                parts.Newer.Add((key, newer));
                return;
            }
            else
            {
                flight = reads.BeginUnderLock<object?, T>(stripe, key, null, null, policy, tags, outer, entry);
                flight.LeaderDeadline = scope is { Deadline.IsNone: false } ? scope.Deadline : null;
                parts.Owned.Add(flight);
            }

            flight.Waiters++;
        }
    }

    /// <summary>Takes a flight's answer, or the stale copy where the request's time was up before there was one.</summary>
    private void Take<T>(Dictionary<string, T> found, Flight<T> flight, EntryPolicy policy, RequestScope? scope, bool isLeader, bool isLate)
    {
        if (isLate)
        {
            Keep(found, flight.Key, reads.StaleOrLate(flight.Key, flight.Stale, policy, scope!));
            return;
        }

        T value = reads.TakeAnswer(flight, isLeader);
        if (flight.Origin != CacheOrigin.None)
        {
            Keep(found, flight.Key, value, flight.Entry);
        }
    }

    private void Keep<T>(Dictionary<string, T> found, string key, LocalEntry<T> entry) => Keep(found, key, core.Entries.Materialise(entry), entry);

    private static void Keep<T>(Dictionary<string, T> found, string key, T value, LocalEntry<T>? entry)
    {
        if (entry is not { IsAbsent: true })
        {
            found[key] = value;
        }
    }

    /// <summary>The missing keys of a batch: those that it loads, those that somebody loads already, those that have come meanwhile.</summary>
    private sealed class BatchParts<T>
    {
        public List<Flight<T>> Owned { get; } = [];

        public List<(Flight<T> Flight, Task Answered, long JoinedAt)> Joined { get; } = [];

        public List<(string Key, LocalEntry<T> Entry)> Newer { get; } = [];
    }
}
