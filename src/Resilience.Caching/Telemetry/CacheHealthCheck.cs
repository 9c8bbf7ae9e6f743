using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Resilience.Caching.Telemetry;

/// <summary>Degraded, never unhealthy, while the shared tier is out or other nodes cannot be heard: the service goes on without.</summary>
internal sealed class CacheHealthCheck(ResilientCache cache) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        CacheSnapshot snapshot = cache.Snapshot();
        var data = new Dictionary<string, object>(StringComparer.Ordinal)
        {
            ["shared"] = snapshot.SharedState.ToString(),
            ["replays_pending"] = snapshot.ReplaysPending,
            ["flights"] = snapshot.Flights,
        };
        if (snapshot.SharedState is SharedTierState.Open or SharedTierState.Probing)
        {
            return Task.FromResult(HealthCheckResult.Degraded($"Cache '{cache.Name}': the shared tier is out; {snapshot.ReplaysPending} changes wait for it.", data: data));
        }

        return Task.FromResult(cache.Upkeep.Link is { IsUp: false }
            ? HealthCheckResult.Degraded($"Cache '{cache.Name}': changes of other nodes are not heard.", data: data)
            : HealthCheckResult.Healthy($"Cache '{cache.Name}' works.", data));
    }
}
