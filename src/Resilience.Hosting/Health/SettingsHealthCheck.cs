using Microsoft.Extensions.Diagnostics.HealthChecks;
using Resilience.Settings;

namespace Resilience.Hosting.Health;

/// <summary>
/// Degraded while the configuration file says something that was rejected and the last valid settings are in force. Anybody may be shown what it says, so
/// values are not part of it; the log has them.
/// </summary>
internal sealed class SettingsHealthCheck(IServiceProvider services, IEnumerable<SettingsRegistration> registrations) : IHealthCheck
{
    public const string Name = "resilience-settings";

    private readonly SettingsRegistration[] _registrations = [.. registrations];

    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        SettingsError[] rejected = [.. _registrations.SelectMany(registration => registration.Resolve(services).Rejected).Distinct()];
        return Task.FromResult(rejected.Length == 0
            ? HealthCheckResult.Healthy("The configuration is what is in force.")
            : new HealthCheckResult(context.Registration.FailureStatus, $"The last change of the configuration was rejected: {string.Join("; ", rejected.Select(static error => $"{error.Path} {error.Problem}"))}"));
    }
}
