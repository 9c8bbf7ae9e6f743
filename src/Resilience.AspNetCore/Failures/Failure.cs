using Microsoft.AspNetCore.Http;
using Polly;
using Polly.CircuitBreaker;
using Resilience.Caching;
using Resilience.Caching.Guard;
using Resilience.Context;
using Resilience.Degrade;
using Resilience.Pools;

namespace Resilience.AspNetCore.Failures;

/// <summary>A failure that is no fault in the request and none in the code: what it needs is not there now.</summary>
/// <param name="Status">The status that says so: 503, or 504 when the time was up.</param>
/// <param name="Subject">What failed, for the log; one of few.</param>
/// <param name="RetryAfter">When it is worth coming back, where that is known.</param>
/// <param name="IsMeant">Whether somebody wants it so, as with a feature that is off.</param>
internal sealed record Failure(int Status, string Subject, TimeSpan? RetryAfter = null, bool IsMeant = false)
{
    public static readonly Failure Deadline = new(StatusCodes.Status504GatewayTimeout, "deadline");

    /// <summary>What an exception of the kit's, or of a pipeline that it runs, means to the caller; nothing for all others.</summary>
    /// <remarks>A lease that was used after its end and a factory that waits for itself are mistakes in the code: those stay 500.</remarks>
    public static Failure? Of(Exception exception) => exception switch
    {
        DeadlineExceededException or PoolExhaustedException { Limit: PoolWaitLimit.RequestDeadline } => Deadline,
        PoolUnavailableException pool => Unavailable($"pool '{pool.PoolName}'", pool.RetryAfter),
        PoolRejectedException pool => Unavailable($"pool '{pool.PoolName}'", pool.RetryAfter),
        PoolExhaustedException or PoolClosedException => Unavailable($"pool '{((PoolException)exception).PoolName}'"),
        BatchWriterClosedException writer => Unavailable($"batch writer '{writer.WriterName}'"),
        CacheLoadTimeoutException cache => Unavailable($"cache '{cache.CacheName}'"),
        GuardJournalException guard => Unavailable($"guard '{guard.Guard}'"),
        FeatureUnavailableException feature => Unavailable($"feature '{feature.Feature.Name}'") with { IsMeant = true },
        RefusedException refused => Unavailable("limiter", refused.RetryAfter),
        WorkRefusedException work => Unavailable(work.Queue is null ? "queue" : $"queue '{work.Queue}'"),
        BrokenCircuitException circuit => Unavailable("circuit breaker", circuit.RetryAfter),
        ExecutionRejectedException => Unavailable("pipeline"),
        _ => null,
    };

    public static Failure Unavailable(string subject, TimeSpan? retryAfter = null) => new(StatusCodes.Status503ServiceUnavailable, subject, retryAfter);
}
