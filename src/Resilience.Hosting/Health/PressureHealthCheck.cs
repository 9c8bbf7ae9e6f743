using Microsoft.Extensions.Diagnostics.HealthChecks;
using Resilience.Degrade;

namespace Resilience.Hosting.Health;

/// <summary>
/// Unhealthy when memory presses, a garbage collection did not help, and only a restart will; degraded while anything presses, for then features
/// and requests of low priority give way.
/// </summary>
internal sealed class PressureHealthCheck(PressureMonitor monitor) : IHealthCheck
{
    public const string Name = "resilience-pressure";

    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        var data = new Dictionary<string, object>(StringComparer.Ordinal) { ["level"] = monitor.Level.ToString(), ["sample_late_ms"] = monitor.LateBy.TotalMilliseconds };
        foreach ((string signal, double value, _) in monitor.Values)
        {
            data[signal] = value;
        }

        return Task.FromResult(
            monitor.IsMemoryStuck ? new HealthCheckResult(context.Registration.FailureStatus, "Memory presses and a garbage collection did not help: restart, or raise the limit.", null, data)
            : monitor.Level == PressureLevel.Normal ? HealthCheckResult.Healthy("Nothing presses.", data)
            : HealthCheckResult.Degraded($"The pressure is {monitor.Level}, by '{monitor.Loudest}'.", null, data));
    }
}
