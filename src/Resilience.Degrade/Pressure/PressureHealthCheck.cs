using System.Globalization;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Resilience.Degrade;

/// <summary>
/// Unhealthy once memory presses hard and neither shedding nor a garbage collection helped: only a restart or a higher limit will. Degraded while pressure is
/// critical. That features are off is the service at work, not a fault.
/// </summary>
internal sealed class PressureHealthCheck(PressureMonitor monitor, IDegradation degradation) : IHealthCheck
{
    public const string Name = "resilience-pressure";

    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        PressureLevel memory = monitor.LevelOf(SystemSignals.Memory);
        PressureLevel level = monitor.Level;
        int lowered = degradation.Snapshot.Decisions.Count(decision => decision.Source == DecisionSource.Automatic);
        var data = new Dictionary<string, object>(StringComparer.Ordinal)
        {
            ["level"] = level.ToString(),
            ["signal"] = monitor.Loudest,
            ["features_lowered"] = lowered,
        };
        return Task.FromResult(
            monitor.IsMemoryStuck && memory >= PressureLevel.High
                ? new HealthCheckResult(context.Registration.FailureStatus, "Memory does not fall, even after a garbage collection: restart the process, or give it more.", data: data)
            : monitor.IsMemoryStuck ? HealthCheckResult.Degraded("Memory does not fall, even after a garbage collection.", data: data)
            : level == PressureLevel.Critical ? HealthCheckResult.Degraded($"Signal '{monitor.Loudest}' presses critically; {lowered.ToString(CultureInfo.InvariantCulture)} features do less.", data: data)
            : HealthCheckResult.Healthy(level == PressureLevel.Normal ? "Nothing presses." : $"Signal '{monitor.Loudest}' presses: {level}.", data));
    }
}
