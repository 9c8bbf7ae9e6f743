using Resilience.Caching.Flights;
using Resilience.Caching.Invalidation;
using Resilience.Caching.Local;
using Resilience.Caching.Shared;
using Resilience.Caching.Telemetry;
using Resilience.Context;

namespace Resilience.Caching;

/// <summary>
/// Reads of many keys: the local tier key by key, then one read of the shared tier and one factory call for what is missing. Each key
/// has its flight all the same: whoever asks for one of them meanwhile waits for the batch, and the batch waits for what is under way.
/// </summary>
internal sealed class BatchPath(CacheCore core, ReadPath reads, LoadPath loads)
{
    public async ValueTask<IReadOnlyDictionary<string, T>> ReadAsync<TState, T>(IEnumerable<string> keys, TState state, Func<IReadOnlyList<string>, TState, CancellationToken, ValueTask<IReadOnlyDictionary<string, T>>> factory, EntryPolicy policy, IReadOnlyCollection<string>? tags, CancellationToken cancellationToken)
    {
        var found = new Dictionary<string, T>(StringComparer.Ordinal);
        var owned = new List<Flight<T>>();
        var joined = new List<(Flight<T> Flight, Task Answered, long JoinedAt)>();
        TagState[]? states = core.Invalidations.Resolve(tags);
        RequestScope? scope = RequestScope.Current;
        foreach (string key in keys)
        {
            LocalEntry? entry = policy.ReadsLocal ? core.Local.Find(key) : null;
            if (found.ContainsKey(key) || owned.Exists(flight => flight.Key == key))
            {
                continue;
            }

            if (entry is not null && reads.TryUse(key, entry, policy, out T? value, out _))
            {
                found[key] = value!;
            }
            else if (!reads.IsRefused(key))
            {
                JoinOrBegin<T>(key, policy, states, entry, owned, joined);
            }
        }

        if (owned.Count > 0)
        {
            Task flying = FlyAsync(owned, state, factory, policy);
            try
            {
                await (flying.IsCompleted ? flying : reads.WaitWithinAsync(flying, scope, cancellationToken)).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!flying.IsCompleted)
            {
                owned.ForEach(loads.Leave);
                joined.ForEach(wait => loads.Leave(wait.Flight));
                throw;
            }
        }

        foreach (Flight<T> flight in owned)
        {
            Take(found, flight, isLeader: true);
        }

        await TakeJoinedAsync(found, joined, state, factory, policy, tags, cancellationToken).ConfigureAwait(false);
        return found;
    }

    /// <summary>Looks without loading: fresh values alone.</summary>
    public async ValueTask<IReadOnlyDictionary<string, T>> LookAsync<T>(IEnumerable<string> keys, CancellationToken cancellationToken)
    {
        var found = new Dictionary<string, T>(StringComparer.Ordinal);
        var flights = new List<Flight<T>>();
        foreach (string key in keys.Distinct(StringComparer.Ordinal))
        {
            CacheResult<T> local = reads.Peek<T>(core.Local.Find(key));
            if (local is { HasValue: true, IsStale: false })
            {
                found[key] = local.Value!;
            }
            else if (!local.IsKnownAbsent && core.Shared is not null)
            {
                flights.Add(reads.BeginLook<T>(key));
            }
        }

        if (flights.Count == 0)
        {
            return found;
        }

        try
        {
            await loads.LookManyAsync(flights).AsTask().WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            flights.ForEach(flight => flight.Finish());
        }

        foreach (Flight<T> flight in flights.Where(flight => flight is { IsAnswered: true, Failure: null }))
        {
            Take(found, flight, isLeader: false);
        }

        return found;
    }

    private async ValueTask TakeJoinedAsync<TState, T>(Dictionary<string, T> found, List<(Flight<T> Flight, Task Answered, long JoinedAt)> joined, TState state, Func<IReadOnlyList<string>, TState, CancellationToken, ValueTask<IReadOnlyDictionary<string, T>>> factory, EntryPolicy policy, IReadOnlyCollection<string>? tags, CancellationToken cancellationToken)
    {
        RequestScope? scope = RequestScope.Current;
        List<string>? again = null;
        foreach ((Flight<T> flight, Task answered, long joinedAt) in joined)
        {
            try
            {
                await (answered.IsCompleted ? answered : reads.WaitWithinAsync(answered, scope, cancellationToken)).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                joined.ForEach(wait => loads.Leave(wait.Flight));
                throw;
            }

            if (flight.IsTooOldFor(joinedAt, core.Invalidations) || ReadPath.IsOutOfLeadersTime(flight, scope))
            {
                (again ??= []).Add(flight.Key);
            }
            else
            {
                Take(found, flight, isLeader: false);
            }
        }

        if (again is not null)
        {
            foreach ((string key, T value) in await ReadAsync(again, state, factory, policy, tags, cancellationToken).ConfigureAwait(false))
            {
                found[key] = value;
            }
        }
    }

    private void JoinOrBegin<T>(string key, EntryPolicy policy, TagState[]? tags, LocalEntry? entry, List<Flight<T>> owned, List<(Flight<T>, Task, long)> joined)
    {
        KeyStripe stripe = core.Stripes[key];
        long joinedAt = core.Invalidations.Count.Current;
        lock (stripe.Lock)
        {
            if (reads.JoinUnderLock<T>(stripe, key, policy) is { } flight)
            {
                core.Statistics.Add(CacheCount.Joined);
                joined.Add((flight, flight.AnsweredUnderLock(), joinedAt));
            }
            else
            {
                flight = reads.BeginUnderLock<object?, T>(stripe, key, null, null, policy, tags, LoadPath.CurrentFlight, entry);
                owned.Add(flight);
            }

            flight.Waiters++;
        }
    }

    /// <summary>Flies all flights of a batch at once. Never throws: each flight is answered.</summary>
    private async Task FlyAsync<TState, T>(List<Flight<T>> flights, TState state, Func<IReadOnlyList<string>, TState, CancellationToken, ValueTask<IReadOnlyDictionary<string, T>>> factory, EntryPolicy policy)
    {
        using var cancellation = new CancellationTokenSource();
        int left = flights.Count;
        CancellationTokenRegistration[] registrations = [.. flights.Select(flight => flight.Cancellation.Token.UnsafeRegister(
            _ =>
            {
                if (Interlocked.Decrement(ref left) == 0)
                {
                    cancellation.Cancel();
                }
            },
            null))];
        Flight<T>[] missing = [.. flights];
        try
        {
            SharedStamp[]? stamps = core.Shared is null ? null : await loads.LookManyAsync(flights).ConfigureAwait(false);
            missing = [.. flights.Where(flight => !flight.IsAnswered)];
            if (missing.Length == 0)
            {
                return;
            }

            core.Statistics.Add(CacheCount.SourceLoad, missing.Length);
            long began = core.Clock.Milliseconds;
            var timeout = TimeSpan.FromMilliseconds(policy.LoadTimeout);
            IReadOnlyDictionary<string, T> values;
            try
            {
                string[] asked = [.. missing.Select(flight => flight.Key)];
                Task<IReadOnlyDictionary<string, T>> pending = core.Pipeline is null
                    ? factory(asked, state, cancellation.Token).AsTask()
                    : core.Pipeline.ExecuteAsync(static (work, token) => work.factory(work.asked, work.state, token), (factory, asked, state), cancellation.Token).AsTask();
                values = await (pending.IsCompleted ? pending : pending.WaitAsync(timeout, core.Time)).ConfigureAwait(false);
            }
            catch (TimeoutException) when (core.Clock.Milliseconds - began >= policy.LoadTimeout)
            {
                core.Statistics.Add(CacheCount.LoadTimeout);
                await cancellation.CancelAsync().ConfigureAwait(false);
                throw new CacheLoadTimeoutException(core.Name, timeout);
            }

            for (int i = 0; i < flights.Count; i++)
            {
                if (flights[i].IsAnswered)
                {
                    continue;
                }

                // A key that the factory leaves out does not exist.
                CacheLoad<T>? absent = null;
                if (!values.TryGetValue(flights[i].Key, out T? value))
                {
                    absent = new CacheLoad<T>(flights[i].Key, null, core.Entries.Materialise);
                    absent.Absent();
                }

                await loads.CommitAsync(flights[i], value!, absent, stamps?[i], core.Clock.Milliseconds - began).ConfigureAwait(false);
            }
        }
        catch (Exception exception)
        {
            foreach (Flight<T> flight in missing)
            {
                loads.FallBack(flight, exception);
            }
        }
        finally
        {
            foreach (CancellationTokenRegistration registration in registrations)
            {
                await registration.DisposeAsync().ConfigureAwait(false);
            }

            flights.ForEach(flight => flight.Finish());
        }
    }

    private void Take<T>(Dictionary<string, T> found, Flight<T> flight, bool isLeader)
    {
        T value = reads.TakeAnswer(flight, isLeader);
        if (flight.Entry is not { IsAbsent: true })
        {
            found[flight.Key] = value;
        }
    }
}
