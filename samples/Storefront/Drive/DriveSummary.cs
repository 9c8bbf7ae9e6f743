using System.Globalization;

namespace Storefront.Drive;

/// <summary>The one line that a script reads.</summary>
internal static class DriveSummary
{
    public static string Of(Driver driver, ServiceFigures service)
    {
        DriveResults results = driver.Results;
        long reads = service.LocalHits + service.SharedHits + service.SourceLoads + service.StaleServed;
        return string.Create(CultureInfo.InvariantCulture,
            $"drive: requests={results.Sent} ok={results.Ok} errors={results.Errors} degraded={results.Degraded} p50_ms={results.Latency.Percentile(0.50):0.0} p99_ms={results.Latency.Percentile(0.99):0.0} local_hit={Share(service.LocalHits, reads)} shared_hit={Share(service.SharedHits, reads)} source_loads={service.SourceLoads} pool_max_in_use={service.PoolMaxInUse} orders={results.Orders} stale={service.StaleServed} changes={results.Changes} wrong={results.Wrong} seconds={driver.Elapsed.TotalSeconds:0.0} rate={results.Sent / Math.Max(driver.Elapsed.TotalSeconds, 0.001):0}");
    }

    private static string Share(long part, long whole) =>
        (whole == 0 ? 0 : (double)part / whole).ToString("0.000", CultureInfo.InvariantCulture);
}
