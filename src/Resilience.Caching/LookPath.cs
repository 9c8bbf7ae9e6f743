using Resilience.Caching.Flights;
using Resilience.Caching.Invalidation;
using Resilience.Caching.Local;
using Resilience.Context;

namespace Resilience.Caching;

/// <summary>Looks at what is there: runs no factory, counts no load, changes nothing.</summary>
internal sealed class LookPath(CacheCore core, ReadPath reads, LoadPath loads)
{
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
        TimeSpan limit = AnswerWait.Limit(RequestScope.Current);
        if (limit == TimeSpan.Zero)
        {
            return local;
        }

        Flight<T> flight = Begin<T>(key);
        try
        {
            await loads.RunAsync(flight).WaitAsync(limit, core.Time, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is OperationCanceledException or TimeoutException)
        {
            loads.Leave(flight);
            if (exception is OperationCanceledException)
            {
                throw;
            }

            return local; // The request has no time left: what is at hand is what there is.
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
    public Flight<T> Begin<T>(string key)
    {
        KeyStripe stripe = core.Stripes[key];
        lock (stripe.Lock)
        {
            Flight<T> flight = reads.BeginUnderLock<object?, T>(stripe, key, null, null, core.Policies.Look, null, null, core.Local.Find(key));
            flight.Waiters++;
            return flight;
        }
    }
}
