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

    /// <summary>A token bucket as the options say; who asks for it ends it.</summary>
    internal static PoolAdmission? FromOptions(PoolRateLimitOptions options)
    {
        if (options.PermitsPerSecond == 0)
        {
            return null;
        }

        (int tokens, TimeSpan period) = Replenishment(options.PermitsPerSecond);

        // The limiter's timer would keep the context of its maker alive, which may be a request.
        AsyncFlowControl? flow = ExecutionContext.IsFlowSuppressed() ? null : ExecutionContext.SuppressFlow();
        try
        {
            return new PoolAdmission(new TokenBucketRateLimiter(new TokenBucketRateLimiterOptions
            {
                TokenLimit = options.Burst == 0 ? options.PermitsPerSecond : options.Burst,
                ReplenishmentPeriod = period,
                TokensPerPeriod = tokens,
                QueueLimit = options.MaxWaiters,
                QueueProcessingOrder = QueueProcessingOrder.OldestFirst,
            }));
        }
        finally
        {
            flow?.Undo();
        }
    }

    /// <summary>Ends the limiter, and with it its timer; only of a limiter that the pool made for itself.</summary>
    internal void End() => _limiter.Dispose();

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
    internal async ValueTask<IDisposable> PassAsync(string poolName, TimeSpan timeout, TimeProvider time, CancellationToken cancellationToken, CancellationToken poolsEnd)
    {
        if (TryPass(out IDisposable? permit))
        {
            return permit!;
        }

        using var limit = new CancellationTokenSource(timeout, time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken, poolsEnd);
        RateLimitLease lease;
        try
        {
            lease = await _limiter.AcquireAsync(1, linked.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (limit.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            // Asks for nothing, to be told when there would be something.
            throw Refused(poolName, _limiter.AttemptAcquire(permitCount: 0));
        }
        catch (OperationCanceledException exception) when (cancellationToken.IsCancellationRequested)
        {
            throw new OperationCanceledException(exception.Message, exception, cancellationToken);
        }

        return lease.IsAcquired ? lease : throw Refused(poolName, lease);
    }

    /// <summary>How many tokens come how often: whole tokens, at most a hundred times a second, at exactly the rate.</summary>
    internal static (int Tokens, TimeSpan Period) Replenishment(int permitsPerSecond)
    {
        int tokens = Math.Max(1, (permitsPerSecond + 99) / 100);
        return (tokens, TimeSpan.FromSeconds((double)tokens / permitsPerSecond));
    }

    private static PoolRejectedException Refused(string poolName, RateLimitLease lease)
    {
        using (lease)
        {
            return new PoolRejectedException(poolName, lease.TryGetMetadata(MetadataName.RetryAfter, out TimeSpan after) ? after : null);
        }
    }
}
