using Microsoft.Extensions.Diagnostics.HealthChecks;
using Resilience.Redis;

namespace Resilience.Hosting.Health;

/// <summary>
/// Degraded while Redis does not answer a ping: the caches go on without it, so it is neither a reason for a restart nor to send requests
/// elsewhere, where the same Redis is away.
/// </summary>
internal sealed class RedisHealthCheck(RedisConnection connection, TimeProvider time) : IHealthCheck
{
    public const string Name = "resilience-redis";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        try
        {
            TimeSpan took = await connection.PingAsync().WaitAsync(Patience, time, cancellationToken).ConfigureAwait(false);
            return HealthCheckResult.Healthy(FormattableString.Invariant($"Redis answers a ping in {took.TotalMilliseconds:0.0} ms."));
        }
        catch (Exception exception) when (exception is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
        {
            // The message of the client's exception names hosts; the type says enough.
            return new HealthCheckResult(context.Registration.FailureStatus, $"Redis does not answer ({exception.GetType().Name}); caches do without it.");
        }
    }
}
