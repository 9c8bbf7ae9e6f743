using Resilience.Caching.Flights;
using Resilience.Caching.Telemetry;

namespace Resilience.Caching.Loading;

/// <summary>
/// The time that a load may take. At the soft timeout callers get the stale copy, if there is one, and the load goes on. At the load
/// timeout it is cancelled and abandoned: the key, its permit and its lease are free at once, though the factory may ignore its token.
/// </summary>
internal sealed class LoadTimers(CacheCore core, LoadFailure failure)
{
    /// <summary>Starts the flight's clock, once it is known that somebody has to wait; a factory that completes at once pays for none.</summary>
    public void Arm<T>(Flight<T> flight)
    {
        if (flight.Timer is not null)
        {
            return;
        }

        EntryPolicy policy = flight.Policy;
        bool hasSoft = policy.SoftTimeout >= 0 && policy.SoftTimeout < policy.LoadTimeout && !flight.IsRefresh && flight.Stale is not null;
        flight.SoftPassed = !hasSoft;
        long spent = core.Clock.Milliseconds - flight.BeganAt;
        long due = Math.Max(1, (hasSoft ? policy.SoftTimeout : policy.LoadTimeout) - spent);
        using (ExecutionContext.SuppressFlow())
        {
            flight.Timer = core.Time.CreateTimer(static state => ((Action)state!)(), (Action)(() => OnTimer(flight)), Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }

        // Started only now that the flight has it: its first leg starts the second.
        flight.Timer.Change(TimeSpan.FromMilliseconds(due), Timeout.InfiniteTimeSpan);
    }

    /// <summary>Gives back the load's place among the cache's concurrent loads, if it has one.</summary>
    public void ReleasePermit(Flight flight)
    {
        if (Interlocked.Exchange(ref flight.HasPermit, false))
        {
            core.LoadPermits.Release();
        }
    }

    /// <summary>Cancels a flight's token, away from the caller: what is registered there is the factory's business.</summary>
    public void Cancel(Flight flight)
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

    /// <summary>Ends a load at its load timeout.</summary>
    public void Abandon<T>(Flight<T> flight)
    {
        // First the word, then what it frees: a load that is being admitted in this moment looks for the word after it has taken its place.
        flight.IsAbandoned = true;
        ReleasePermit(flight);
        flight.ReleaseLease();
        failure.Settle(flight, new CacheLoadTimeoutException(core.Name, TimeSpan.FromMilliseconds(flight.Policy.LoadTimeout)));
        flight.Finish();
        Cancel(flight);
    }

    private void OnTimer<T>(Flight<T> flight)
    {
        if (!flight.SoftPassed)
        {
            flight.SoftPassed = true;
            if (failure.TryAnswerStale(flight))
            {
                core.Statistics.Add(CacheCount.SoftTimeout);
            }

            long left = flight.BeganAt + flight.Policy.LoadTimeout - core.Clock.Milliseconds;
            flight.Timer!.Change(TimeSpan.FromMilliseconds(Math.Max(1, left)), Timeout.InfiniteTimeSpan);
            return;
        }

        lock (flight.Stripe.Lock)
        {
            if (flight.IsOver)
            {
                return; // It was over in the same moment.
            }
        }

        core.Statistics.Add(CacheCount.LoadTimeout);
        Abandon(flight);
    }
}
