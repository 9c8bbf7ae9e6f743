using System.ComponentModel.DataAnnotations;
using Resilience.Settings;

namespace Resilience.Pools;

/// <summary>
/// Lets a pool find its own size between <see cref="MinSize"/> and <see cref="PoolOptions.MaxSize"/>: it grows while callers wait and
/// the backend is as quick as ever, and shrinks when the time that leases are held rises or creations fail. Waiting time never drives
/// it, which would make a slow backend slower.
/// </summary>
public sealed class AdaptiveSizingOptions : ISettings
{
    /// <summary>Whether it is on. Default false.</summary>
    public bool Enabled { get; set; }

    /// <summary>The least size. Default 4, from 1 to 65,536, not above <see cref="PoolOptions.MaxSize"/>.</summary>
    [Range(1, 65_536)]
    public int MinSize { get; set; } = 4;

    /// <summary>How often the size is reconsidered. Default 5 s, from 100 ms to 10 minutes.</summary>
    [TimeRange("00:00:00.100", "00:10:00")]
    public TimeSpan Window { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How many times its usual value the mean hold time must reach for the pool to shrink. Default 2, from 1.1 to 100.</summary>
    [Range(1.1, 100.0)]
    public double Tolerance { get; set; } = 2;

    internal AdaptiveSizingOptions Copy() => (AdaptiveSizingOptions)MemberwiseClone();
}
