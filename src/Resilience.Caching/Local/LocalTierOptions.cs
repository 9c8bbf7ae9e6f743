using System.ComponentModel.DataAnnotations;
using Resilience.Settings;

namespace Resilience.Caching.Local;

/// <summary>The local tier of a cache. All of it is read at start.</summary>
public sealed class LocalTierOptions : ISettings
{
    /// <summary>The engine.</summary>
    /// <value>Default: <see cref="LocalEngine.S3Fifo"/>.</value>
    public LocalEngine Engine { get; set; } = LocalEngine.S3Fifo;

    /// <summary>How much the tier holds: bytes of keys, values and overhead, or the unit of the sizes that callers give.</summary>
    /// <value>Default: 128 MiB. Range: 1 to 1 TiB.</value>
    [ByteSize(1, 1L << 40)]
    public long SizeLimit { get; set; } = 128L << 20;

    /// <summary>How often dead entries are looked for.</summary>
    /// <value>Default: 30 s. Range: 1 s to 1 h.</value>
    [TimeRange("00:00:01", "01:00:00")]
    public TimeSpan SweepInterval { get; set; } = TimeSpan.FromSeconds(30);
}
