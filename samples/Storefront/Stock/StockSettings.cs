using Resilience.Settings;

namespace Storefront.Stock;

/// <summary>Where the warehouse is. Section <c>Stock</c>, reloads live.</summary>
internal sealed class StockSettings : ISettings
{
    /// <summary>The warehouse's address; the shop asks itself while there is none.</summary>
    public Uri? Warehouse { get; set; }

    /// <summary>How long the shop's own warehouse takes.</summary>
    [TimeRange("00:00:00", "00:01:00")]
    public TimeSpan Latency { get; set; } = TimeSpan.FromMilliseconds(20);
}
