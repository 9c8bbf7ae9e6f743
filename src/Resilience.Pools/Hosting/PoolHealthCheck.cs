using System.Globalization;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Resilience.Pools;

/// <summary>
/// Unhealthy while the backend is down; degraded while it fails, while more callers wait than there are places, and while a leak is held
/// or was seen a short while ago: one that was reclaimed is a bug all the same.
/// </summary>
internal sealed class PoolHealthCheck(IResourcePool pool, Func<TimeSpan> leakThreshold) : IHealthCheck
{
    private static readonly TimeSpan LeakMemory = TimeSpan.FromMinutes(5);

    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        PoolSnapshot snapshot = pool.Snapshot();
        TimeSpan threshold = leakThreshold();
        int leaks = threshold == Timeout.InfiniteTimeSpan ? 0 : snapshot.Holders.Count(holder => holder.Age >= threshold);
        string counts = string.Create(CultureInfo.InvariantCulture, $"size {snapshot.Open}/{snapshot.Limit}, idle {snapshot.Idle}, waiting {snapshot.Waiting}");
        var data = new Dictionary<string, object>(StringComparer.Ordinal)
        {
            ["size"] = snapshot.Open, ["limit"] = snapshot.Limit, ["idle"] = snapshot.Idle, ["waiting"] = snapshot.Waiting, ["backend"] = snapshot.Backend.ToString(), ["leaks"] = leaks,
        };
        return Task.FromResult(
            snapshot.IsClosed ? new HealthCheckResult(context.Registration.FailureStatus, "The pool is closed.", null, data)
            : snapshot.Backend == PoolBackendState.Down ? new HealthCheckResult(context.Registration.FailureStatus, string.Create(CultureInfo.InvariantCulture, $"The backend is down: {snapshot.CreateFailures} attempts failed in a row ({counts})."), null, data)
            : leaks > 0 ? HealthCheckResult.Degraded(string.Create(CultureInfo.InvariantCulture, $"{leaks} leases are held beyond the leak threshold ({counts})."), null, data)
            : snapshot.SinceLastLeak < LeakMemory ? HealthCheckResult.Degraded(string.Create(CultureInfo.InvariantCulture, $"A leak was seen {snapshot.SinceLastLeak.Value.TotalSeconds:0} s ago ({counts})."), null, data)
            : snapshot.Backend == PoolBackendState.Failing ? HealthCheckResult.Degraded($"Creating resources fails ({counts}).", null, data)
            : snapshot.Waiting > snapshot.Limit ? HealthCheckResult.Degraded($"More callers wait than there are places ({counts}).", null, data)
            : HealthCheckResult.Healthy(counts, data));
    }
}
