using Resilience.Caching.Flights;
using Resilience.Caching.Invalidation;
using Resilience.Caching.Local;
using Resilience.Caching.Shared;
using Resilience.Caching.Telemetry;

namespace Resilience.Caching.Loading;

/// <summary>
/// Steps 4, 6 and 7 for many keys at once: one read of the shared tier, one call of the factory, among the cache's concurrent loads and
/// under the load timeout, and a commit per key. A batch takes no leases.
/// </summary>
internal sealed class BatchLoad(CacheCore core, ReadPath reads, LoadPath loads)
{
    /// <summary>Flies all flights of a batch at once. Never throws: each flight is answered.</summary>
    public async Task FlyAsync<TState, T>(List<Flight<T>> flights, TState state, Func<IReadOnlyList<string>, TState, CancellationToken, ValueTask<IReadOnlyDictionary<string, T>>> factory, EntryPolicy policy)
    {
        Flight<T> lead = flights[0];
        flights.ForEach(flight => flight.Batch = flights);
        using var cancellation = new CancellationTokenSource();
        int left = flights.Count;
        CancellationTokenRegistration[] registrations = [.. flights.Select(flight => flight.Cancellation.Token.UnsafeRegister(
            _ =>
            {
                if (Interlocked.Decrement(ref left) == 0)
                {
                    cancellation.Cancel(); // Nobody waits for any of them.
                }
            },
            null))];
        Flight<T>[] missing = [.. flights];
        try
        {
            SharedStamp[]? stamps = core.Shared is { IsEnabled: true } ? await loads.Shared.LookManyAsync(flights).ConfigureAwait(false) : null;
            missing = [.. flights.Where(flight => !flight.IsAnswered)];
            if (missing.Length > 0 && policy.Loads)
            {
                cancellation.Token.ThrowIfCancellationRequested();
                await LoadAsync(lead, flights, missing, stamps, state, factory, cancellation).ConfigureAwait(false);
            }
        }
        catch (Exception exception)
        {
            foreach (Flight<T> flight in missing)
            {
                loads.Failure.Settle(flight, exception);
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
            core.Statistics.Add(CacheCount.EagerRefresh, flights.Count);
            ThreadPool.QueueUserWorkItem(static work => _ = work.self.FlyAsync(work.flights, work.state, work.factory, work.policy), (self: this, flights, state, factory, policy), preferLocal: false);
        }
    }

    private async ValueTask LoadAsync<TState, T>(Flight<T> lead, List<Flight<T>> flights, Flight<T>[] missing, SharedStamp[]? stamps, TState state, Func<IReadOnlyList<string>, TState, CancellationToken, ValueTask<IReadOnlyDictionary<string, T>>> factory, CancellationTokenSource cancellation)
    {
        long began = core.Clock.Milliseconds;
        IReadOnlyDictionary<string, T> values;
        bool isAdmitted = false;
        var timeout = TimeSpan.FromMilliseconds(lead.Policy.LoadTimeout);
        try
        {
            isAdmitted = await AdmitAsync(timeout, cancellation.Token).ConfigureAwait(false);
            if (!isAdmitted)
            {
                core.Statistics.Add(CacheCount.LoadTimeout);
                throw new CacheLoadTimeoutException(core.Name, timeout);
            }

            core.Statistics.Add(CacheCount.SourceLoad, missing.Length);
            values = await CallAsync(lead, [.. missing.Select(flight => flight.Key)], state, factory, timeout - TimeSpan.FromMilliseconds(core.Clock.Milliseconds - began), cancellation).ConfigureAwait(false);
        }
        finally
        {
            if (isAdmitted)
            {
                core.LoadPermits.Release();
            }
        }

        var writing = new List<Task>();
        for (int i = 0; i < flights.Count; i++)
        {
            if (!flights[i].IsAnswered)
            {
                ValueTask commit = Commit(flights[i], values, stamps?[i], core.Clock.Milliseconds - began);
                if (!commit.IsCompletedSuccessfully)
                {
                    writing.Add(commit.AsTask());
                }
            }
        }

        await Task.WhenAll(writing).ConfigureAwait(false);
    }

    private async ValueTask<bool> AdmitAsync(TimeSpan timeout, CancellationToken cancellationToken)
    {
        using var late = new CancellationTokenSource(timeout, core.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellationToken);
        try
        {
            await core.LoadPermits.WaitAsync(either.Token).ConfigureAwait(false);
            return true;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return false;
        }
    }

    private async ValueTask<IReadOnlyDictionary<string, T>> CallAsync<TState, T>(Flight<T> lead, string[] keys, TState state, Func<IReadOnlyList<string>, TState, CancellationToken, ValueTask<IReadOnlyDictionary<string, T>>> factory, TimeSpan timeout, CancellationTokenSource cancellation)
    {
        Reentrancy.Enter(lead);
        ValueTask<IReadOnlyDictionary<string, T>> call = core.LoadPipeline is { } pipeline
            ? pipeline.ExecuteAsync(static (call, token) => call.factory(call.keys, call.state, token), (factory, keys, state), cancellation.Token)
            : factory(keys, state, cancellation.Token);
        if (call.IsCompleted)
        {
            return await call.ConfigureAwait(false);
        }

        Task<IReadOnlyDictionary<string, T>> pending = call.AsTask();
        try
        {
            return await pending.WaitAsync(timeout, core.Time).ConfigureAwait(false);
        }
        catch (TimeoutException) when (!pending.IsCompleted)
        {
            core.Statistics.Add(CacheCount.LoadTimeout);
            _ = pending.ContinueWith(static late => _ = late.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            await cancellation.CancelAsync().ConfigureAwait(false);
            throw new CacheLoadTimeoutException(core.Name, TimeSpan.FromMilliseconds(lead.Policy.LoadTimeout));
        }
    }

    private ValueTask Commit<T>(Flight<T> flight, IReadOnlyDictionary<string, T> values, SharedStamp? stamp, long cost)
    {
        // A key that the factory leaves out does not exist.
        CacheLoad<T>? absent = null;
        if (!values.TryGetValue(flight.Key, out T? value))
        {
            absent = new CacheLoad<T>(flight.Key, null, core.Entries.Materialise);
            absent.Absent();
        }

        return loads.Commit.CommitAsync(flight, new Loaded<T>(value!, absent, cost), stamp);
    }
}
