using Resilience.Caching.Flights;
using Resilience.Caching.Invalidation;
using Resilience.Caching.Local;
using Resilience.Caching.Shared;
using Resilience.Caching.Telemetry;

namespace Resilience.Caching.Loading;

/// <summary>
/// Steps 4, 6 and 7 for many keys at once: one read of the shared tier, one call of the factory among the cache's concurrent loads, and a
/// commit per key. Each flight has its own clock, so that at the soft timeout those are answered that have a stale copy, and at the load
/// timeout all are abandoned. A batch takes no leases.
/// </summary>
internal sealed class BatchLoad(CacheCore core, ReadPath reads, LoadPath loads)
{
    /// <summary>Flies all flights of a batch at once, to the end. Never throws: each flight is answered.</summary>
    public async Task FlyAsync<TState, T>(List<Flight<T>> flights, TState state, Func<IReadOnlyList<string>, TState, CancellationToken, ValueTask<IReadOnlyDictionary<string, T>>> factory, EntryPolicy policy)
    {
        using var cancellation = new CancellationTokenSource();
        CancellationTokenRegistration[] registrations = [];
        List<Missing<T>> missing = [.. flights.Select(flight => new Missing<T>(flight, null))];
        try
        {
            if (core.Shared is { IsEnabled: true } && (policy.ReadsShared || policy.WritesShared))
            {
                SharedStamp[] stamps = await loads.Shared.LookManyAsync(flights).ConfigureAwait(false);
                missing = [.. flights.Zip(stamps, (flight, stamp) => new Missing<T>(flight, stamp)).Where(one => !one.Flight.IsAnswered)];
            }

            if (missing.Count > 0 && policy.Loads)
            {
                int left = missing.Count; // Those that the shared tier has answered are left by nobody.
                registrations = [.. missing.Select(one => one.Flight.Cancellation.Token.UnsafeRegister(
                    _ =>
                    {
                        if (Interlocked.Decrement(ref left) == 0)
                        {
                            cancellation.Cancel(); // Nobody waits for any of them.
                        }
                    },
                    null))];
                await LoadAsync(missing, state, factory, cancellation.Token).ConfigureAwait(false);
            }
        }
        catch (Exception exception)
        {
            missing.ForEach(one => loads.Failure.Settle(one.Flight, exception));
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

    /// <summary>Renews the entries of a batch that are due, in the background and by one call, unless somebody does already.</summary>
    public void BeginRefresh<TState, T>(List<(string Key, LocalEntry<T> Entry)> due, TState state, Func<IReadOnlyList<string>, TState, CancellationToken, ValueTask<IReadOnlyDictionary<string, T>>> factory, EntryPolicy policy, TagState[]? tags)
    {
        var flights = new List<Flight<T>>();
        foreach ((string key, LocalEntry<T> entry) in due)
        {
            KeyStripe stripe = core.Stripes[key];
            lock (stripe.Lock)
            {
                if (policy.Loads && reads.JoinUnderLock<T>(stripe, key, policy) is null && ReferenceEquals(core.Local.Find(key), entry))
                {
                    entry.ActAt = entry.ExpiresAt;
                    Flight<T> flight = reads.BeginUnderLock<object?, T>(stripe, key, null, null, policy, tags, null, entry);
                    flight.IsRefresh = true;
                    flight.Waiters++;
                    flights.Add(flight);
                }
            }
        }

        if (flights.Count > 0)
        {
            _ = new FlightBatch(flights);
            long now = core.Clock.Milliseconds;
            core.Statistics.Add(CacheCount.EagerRefresh, flights.Count(flight => flight.Stale is { } entry && now < entry.ExpiresAt));
            ThreadPool.QueueUserWorkItem(static work => _ = work.self.FlyAsync(work.flights, work.state, work.factory, work.policy), (self: this, flights, state, factory, policy), preferLocal: false);
        }
    }

    private async ValueTask LoadAsync<TState, T>(List<Missing<T>> missing, TState state, Func<IReadOnlyList<string>, TState, CancellationToken, ValueTask<IReadOnlyDictionary<string, T>>> factory, CancellationToken cancellationToken)
    {
        long began = core.Clock.Milliseconds;
        missing.ForEach(one => one.Flight.BeganAt = began);
        IReadOnlyDictionary<string, T> values;
        await AdmitAsync(missing, cancellationToken).ConfigureAwait(false);
        try
        {
            core.Statistics.Add(CacheCount.SourceLoad, missing.Count);
            values = await CallAsync(missing, state, factory, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            loads.Timers.ReleasePermit(missing[0].Flight);
        }

        long cost = core.Clock.Milliseconds - began;
        var writing = new List<Task>();
        foreach (Missing<T> one in missing)
        {
            ValueTask commit = CommitAsync(one, values, cost);
            if (!commit.IsCompletedSuccessfully)
            {
                writing.Add(commit.AsTask());
            }
        }

        await Task.WhenAll(writing).ConfigureAwait(false);
    }

    /// <summary>Takes one place among the cache's concurrent loads for all of them. The first flight holds it: their time is up together.</summary>
    private async ValueTask AdmitAsync<T>(List<Missing<T>> missing, CancellationToken cancellationToken)
    {
#pragma warning disable VSTHRD103 // With a timeout of zero it does not wait: it asks, without the price of a task.
        bool isAdmitted = core.LoadPermits.Wait(0, CancellationToken.None);
#pragma warning restore VSTHRD103
        if (!isAdmitted)
        {
            missing.ForEach(one => loads.Timers.Arm(one.Flight));
            await core.LoadPermits.WaitAsync(cancellationToken).ConfigureAwait(false);
        }

        Flight<T> holder = missing[0].Flight;
        Interlocked.Exchange(ref holder.HasPermit, true);
        if (holder.IsAbandoned || cancellationToken.IsCancellationRequested)
        {
            loads.Timers.ReleasePermit(holder);
            throw new OperationCanceledException(cancellationToken);
        }
    }

    /// <summary>Calls the factory; where it does not answer at once, the flights' time begins to run.</summary>
    private async ValueTask<IReadOnlyDictionary<string, T>> CallAsync<TState, T>(List<Missing<T>> missing, TState state, Func<IReadOnlyList<string>, TState, CancellationToken, ValueTask<IReadOnlyDictionary<string, T>>> factory, CancellationToken cancellationToken)
    {
        string[] keys = [.. missing.Select(one => one.Flight.Key)];
        Reentrancy.Enter(missing[0].Flight.Batch!.Lead);
        ValueTask<IReadOnlyDictionary<string, T>> call = core.LoadPipeline is { } pipeline
            ? pipeline.ExecuteAsync(static (call, token) => call.factory(call.keys, call.state, token), (factory, keys, state), cancellationToken)
            : factory(keys, state, cancellationToken);
        if (!call.IsCompleted)
        {
            missing.ForEach(one => loads.Timers.Arm(one.Flight));
        }

        return await call.ConfigureAwait(false) ?? throw new InvalidOperationException($"Cache '{core.Name}': the factory of a batch of {keys.Length} keys returned null. For keys that do not exist return a dictionary without them.");
    }

    /// <summary>Makes what the factory gave for a key the key's value. What fails there is that key's failure alone.</summary>
    private async ValueTask CommitAsync<T>(Missing<T> one, IReadOnlyDictionary<string, T> values, long cost)
    {
        (Flight<T> flight, SharedStamp? stamp) = one;
        try
        {
            // A key that the factory leaves out does not exist.
            CacheLoad<T>? absent = null;
            if (!values.TryGetValue(flight.Key, out T? value))
            {
                absent = new CacheLoad<T>(flight.Key, null, core.Entries.Materialise);
                absent.Absent();
            }

            await loads.Commit.CommitAsync(flight, new Loaded<T>(value!, absent, cost), stamp).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            loads.Failure.Settle(flight, exception);
        }
    }

    /// <summary>A flight that the shared tier could not answer, with what it may be written over; no stamp without a shared tier.</summary>
    private readonly record struct Missing<T>(Flight<T> Flight, SharedStamp? Stamp);
}
