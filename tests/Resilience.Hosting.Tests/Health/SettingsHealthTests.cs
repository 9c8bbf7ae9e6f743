using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Resilience.TestKit;

namespace Resilience.Hosting.Tests.Health;

public sealed class SettingsHealthTests
{
    /// <summary>The health page may be shown to anybody: it says where and what is wrong, and not what stands there.</summary>
    [Fact]
    public async Task CheckHealth_AReloadIsRejected_SaysWhereAndNotWhatStandsThere()
    {
        var time = new ManualTimeProvider();
        await using KitHost host = await KitHost.StartAsync(static _ => { }, time, ("Resilience:Failures:RetryAfter", "00:00:03"));
        host.Set("Resilience:Failures:RetryAfter", "hunter2");
        time.Advance(TimeSpan.FromSeconds(1));
        HealthReport report = await host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync(static check => check.Name == "resilience-settings", TestContext.Current.CancellationToken);
        HealthReportEntry entry = Assert.Single(report.Entries).Value;
        Assert.Equal(HealthStatus.Degraded, entry.Status);
        Assert.Contains("Resilience:Failures:RetryAfter", entry.Description, StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", entry.Description, StringComparison.Ordinal);
    }
}
