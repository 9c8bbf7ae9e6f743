using System.Runtime.ExceptionServices;
using Resilience.Caching.Flights;
using Resilience.Caching.Local;
using Resilience.Caching.Telemetry;

namespace Resilience.Caching.Loading;

/// <summary>
/// What comes of a load that failed: the stale copy stands in where there is one, and the source is left alone for a while; else the
/// failure is the answer of everybody who waits, and, where that was asked for, of those who come in the next moments.
/// </summary>
internal sealed class LoadFailure(CacheCore core)
{
    /// <summary>Answers a flight whose load failed.</summary>
    public void Settle<T>(Flight<T> flight, Exception exception)
    {
        if (flight is { IsAnswered: true, IsListed: false })
        {
            return; // It was abandoned, or doomed after its answer.
        }

        if (flight.IsCommitted)
        {
            // What failed came after the value was in use: no reason to put an older one in its place.
            flight.Fail(ExceptionDispatchInfo.Capture(exception));
            return;
        }

        // Only a cancellation that we caused is one; any other (an HttpClient's timeout, say) is a failure of the source.
        bool isOurs = exception is OperationCanceledException && flight.Cancellation.IsCancellationRequested;
        if (!isOurs)
        {
            core.Statistics.Add(CacheCount.SourceFailure);
            CachingLog.LoadFailed(core.Logger, core.Name, exception);
            core.Events.Raise(exception is CacheLoadTimeoutException ? CacheEventKind.LoadTimedOut : CacheEventKind.LoadFailed, flight.Key, failure: exception);
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

            if (TryAnswerStaleUnderLock(flight, now))
            {
                if (flight.IsListed)
                {
                    StandInUnderLock(flight, flight.Stale!, now, flight.Policy.StaleThrottle);
                }

                return;
            }

            if (flight.Policy.FailureExpiration > 0 && flight.IsListed && flight.Policy.WritesLocal && !isOurs && !flight.IsOutOfLeadersTime(exception))
            {
                RememberUnderLock(flight, exception, now);
            }
        }

        flight.Fail(ExceptionDispatchInfo.Capture(exception));
    }

    /// <summary>Answers with the stale copy, if there is one that may still be used and the flight has no answer.</summary>
    public bool TryAnswerStale<T>(Flight<T> flight)
    {
        lock (flight.Stripe.Lock)
        {
            return !flight.IsAnswered && TryAnswerStaleUnderLock(flight, core.Clock.Milliseconds);
        }
    }

    private bool TryAnswerStaleUnderLock<T>(Flight<T> flight, long now)
    {
        if (flight.Policy.StaleFor == 0 || flight.Stale is not { } stale || !core.IsOfUse(stale, now))
        {
            return false;
        }

        flight.AnswerUnderLock(default!, stale, CacheOrigin.Local, isStale: true);
        return true;
    }

    /// <summary>Lets a stale copy be handed out at once for a while.</summary>
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
}
