using System.Threading.RateLimiting;

namespace Resilience.Pools;

/// <summary>
/// A rate limit in front of a pool: any <see cref="RateLimiter"/>. A caller first gets a permit, then joins the pool's own queue; both
/// waits are under one deadline.
/// </summary>
/// <remarks>
/// The pool bounds concurrency already, so a limiter of rates (token bucket, sliding window) is what makes sense here. A permit is spent
/// even if no resource comes free after it. A permit that has to be given back (of a <see cref="ConcurrencyLimiter"/>) is given back
/// with the lease. Whether callers may wait for permits is the limiter's own setting (its queue limit). Thread-safe.
/// </remarks>
public sealed class PoolAdmission
{
    private readonly RateLimiter _limiter;

    /// <summary>Puts a limiter in front.</summary>
    /// <param name="limiter">The limiter; it stays the caller's, and may stand in front of several pools.</param>
    public PoolAdmission(RateLimiter limiter)
    {
        ArgumentNullException.ThrowIfNull(limiter);
        _limiter = limiter;
    }

    internal static PoolAdmission? FromOptions(PoolRateLimitOptions options) => options.PermitsPerSecond == 0
        ? null
        : new PoolAdmission(new TokenBucketRateLimiter(new TokenBucketRateLimiterOptions
        {
            TokenLimit = options.Burst == 0 ? options.PermitsPerSecond : options.Burst,
            ReplenishmentPeriod = Period(options.PermitsPerSecond),
            TokensPerPeriod = Math.Max(1, (int)Math.Round(options.PermitsPerSecond * Period(options.PermitsPerSecond).TotalSeconds)),
            QueueLimit = options.MaxWaiters,
            QueueProcessingOrder = QueueProcessingOrder.OldestFirst,
        }));

    internal bool TryPass(out IDisposable? permit)
    {
        RateLimitLease lease = _limiter.AttemptAcquire();
        permit = lease;
        if (!lease.IsAcquired)
        {
            lease.Dispose();
            permit = null;
        }

        return permit is not null;
    }

    /// <summary>Gets a permit within a time.</summary>
    /// <exception cref="PoolRejectedException">There is none, or none in time.</exception>
    internal async ValueTask<IDisposable> PassAsync(string poolName, TimeSpan timeout, TimeProvider time, CancellationToken cancellationToken)
    {
        if (TryPass(out IDisposable? permit))
        {
            return permit!;
        }

        using var limit = new CancellationTokenSource(timeout, time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
        RateLimitLease lease;
        try
        {
            lease = await _limiter.AcquireAsync(1, linked.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (limit.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new PoolRejectedException(poolName, null);
        }

        if (lease.IsAcquired)
        {
            return lease;
        }

        TimeSpan? retryAfter = lease.TryGetMetadata(MetadataName.RetryAfter, out TimeSpan after) ? after : null;
        lease.Dispose();
        throw new PoolRejectedException(poolName, retryAfter);
    }

    /// <summary>Short enough to be smooth, long enough for whole tokens.</summary>
    private static TimeSpan Period(int permitsPerSecond) => TimeSpan.FromMilliseconds(Math.Max(10, 1000.0 / permitsPerSecond));
}
