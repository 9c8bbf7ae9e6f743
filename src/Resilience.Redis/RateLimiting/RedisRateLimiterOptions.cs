using System.ComponentModel.DataAnnotations;
using Resilience.Settings;

namespace Resilience.Redis;

/// <summary>The settings of one limit of the whole fleet, section <c>Resilience:Limits:&lt;name&gt;</c>. All take effect with a reload.</summary>
public sealed class RedisRateLimiterOptions : ISettings
{
    /// <summary>How many permits the whole fleet is given per second, in the long run.</summary>
    /// <value>Default: 100. Range: 0.0001 to 1,000,000 a second.</value>
    [Range(0.0001, 1_000_000.0)]
    public double PermitsPerSecond { get; set; } = 100;

    /// <summary>How many permits the whole fleet may be given at once after a quiet time; also the most that one call may ask for.</summary>
    /// <value>Default: 100. Range: 1 to 1,000,000.</value>
    [Range(1, 1_000_000)]
    public int Burst { get; set; } = 100;

    /// <summary>
    /// The most permits that a node takes ahead of its callers, so that they need not wait for Redis. A node takes no more than it has lately spent in a
    /// tenth of a second, and all nodes together no more than half of <see cref="Burst"/>. 0: every permit is asked for as it is needed.
    /// </summary>
    /// <value>Default: 1,000. Range: 0 to 100,000.</value>
    [Range(0, 100_000)]
    public int MaxLease { get; set; } = 1_000;

    /// <summary>How long permits that were taken ahead can be spent; what is left then is lost to the fleet.</summary>
    /// <value>Default: 500 ms. Range: 10 ms to 1 min.</value>
    [TimeRange("00:00:00.010", "00:01:00")]
    public TimeSpan LeaseDuration { get; set; } = TimeSpan.FromMilliseconds(500);

    /// <summary>How long Redis may take to answer before the node goes on with its share. A caller waits at most twice as long.</summary>
    /// <value>Default: 100 ms. Range: 1 ms to 10 s.</value>
    [TimeRange("00:00:00.001", "00:00:10")]
    public TimeSpan Timeout { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>How long Redis is left alone after it failed, drawn within ±20 %; nobody waits for the attempt that follows.</summary>
    /// <value>Default: 1 s. Range: 10 ms to 1 min.</value>
    [TimeRange("00:00:00.010", "00:01:00")]
    public TimeSpan RetryInterval { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Among how many nodes at least the limit is split while Redis is away. A node that has reached Redis before knows how many there were, and takes
    /// the larger number.
    /// </summary>
    /// <value>Default: 1. Range: 1 to 10,000.</value>
    [Range(1, 10_000)]
    public int ExpectedNodes { get; set; } = 1;
}
