using System.ComponentModel.DataAnnotations;
using Resilience.Settings;

namespace Resilience.Pools;

/// <summary>A token bucket in front of a pool. Off until <see cref="PermitsPerSecond"/> is set. Read at start.</summary>
public sealed class PoolRateLimitOptions : ISettings
{
    /// <summary>How many leases a second are let through on average. Default 0, which means no limit; up to 10,000,000.</summary>
    [Range(0, 10_000_000)]
    public int PermitsPerSecond { get; set; }

    /// <summary>How many leases may pass at once after a quiet time. Default 0, which means as many as pass in a second; up to 10,000,000.</summary>
    [Range(0, 10_000_000)]
    public int Burst { get; set; }

    /// <summary>
    /// How many callers may wait for a permit, within the same deadline as the wait for a resource. Default 0: who finds no permit is
    /// refused at once and told when to come back. Up to 1,000,000.
    /// </summary>
    [Range(0, 1_000_000)]
    public int MaxWaiters { get; set; }

    internal PoolRateLimitOptions Copy() => (PoolRateLimitOptions)MemberwiseClone();
}
