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

    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) =>
        await connection.TryPingAsync(Patience, time, cancellationToken).ConfigureAwait(false) is { } took
            ? HealthCheckResult.Healthy(FormattableString.Invariant($"Redis answers a ping in {took.TotalMilliseconds:0.0} ms."))
            : new HealthCheckResult(context.Registration.FailureStatus, "Redis does not answer a ping; caches do without it.");
}
