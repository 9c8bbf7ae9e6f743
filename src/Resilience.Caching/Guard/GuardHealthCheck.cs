using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Resilience.Caching.Guard;

/// <summary>Degraded while a guard cannot do its work; never unhealthy, for a guard that refuses nothing harms nobody.</summary>
internal sealed class GuardHealthCheck(BloomGuard guard) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        GuardStatistics statistics = guard.GetStatistics();
        string description = $"Guard '{guard.Name}': {statistics.State}, {statistics.Keys} keys, estimated false positives {statistics.EstimatedFalsePositiveRate:P3}, {statistics.Contradictions} contradiction(s)"
            + (statistics.LastError is { } error ? $"; last error: {error}" : ".");
        var data = new Dictionary<string, object>
        {
            ["state"] = statistics.State.ToString(),
            ["keys"] = statistics.Keys,
            ["refusals"] = statistics.Refusals,
            ["contradictions"] = statistics.Contradictions,
        };
        return Task.FromResult(statistics.State is GuardState.Off or GuardState.Loading or GuardState.Ready
            ? HealthCheckResult.Healthy(description, data)
            : HealthCheckResult.Degraded(description, data: data));
    }
}
