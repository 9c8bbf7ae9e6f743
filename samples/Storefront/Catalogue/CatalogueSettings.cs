using System.ComponentModel.DataAnnotations;
using Resilience.Settings;

namespace Storefront.Catalogue;

/// <summary>The in-process catalogue: how many products it has, how slow and how faulty it is. Section <c>Catalogue</c>, reloads live.</summary>
internal sealed class CatalogueSettings : ISettings
{
    /// <summary>How many products there are, with ids from 0.</summary>
    [Range(1, 10_000_000)]
    public int Products { get; set; } = 500_000;

    /// <summary>How long a query takes.</summary>
    [TimeRange("00:00:00", "00:01:00")]
    public TimeSpan Latency { get; set; } = TimeSpan.FromMilliseconds(5);

    /// <summary>The share of queries that fail.</summary>
    [Range(0.0, 1.0)]
    public double FaultShare { get; set; }

    /// <summary>How many connections the catalogue can bear; a limit of its own, which the pool in front must keep.</summary>
    [Range(1, 10_000)]
    public int MaxConnections { get; set; } = 32;
}
