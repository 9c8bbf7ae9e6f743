using System.ComponentModel.DataAnnotations;
using Resilience.Caching.Guard;
using Resilience.Caching.Local;
using Resilience.Caching.Shared;
using Resilience.Settings;

namespace Resilience.Caching;

/// <summary>
/// The settings of one cache, section <c>Resilience:Caches:&lt;name&gt;</c>; what it leaves out is taken from <c>Resilience:Caches:Default</c>.
/// Everything reloads live but what says "at start".
/// </summary>
public sealed class CacheOptions : ISettings
{
    /// <summary>How long a value is fresh.</summary>
    /// <value>Default: 5 min. Range: 1 ms to 365 days.</value>
    [TimeRange("00:00:00.001", "365.00:00:00")]
    public TimeSpan Expiration { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>How long a node trusts its local copy before it asks the shared tier again; the expiration where that is shorter.</summary>
    /// <value>Default: the expiration. Range: 1 ms to 365 days.</value>
    [TimeRange("00:00:00.001", "365.00:00:00")]
    public TimeSpan? LocalExpiration { get; set; }

    /// <summary>The share by which expirations vary, up and down.</summary>
    /// <value>Default: 0.1. Range: 0 to 0.5.</value>
    [Range(0.0, 0.5)]
    public double Jitter { get; set; } = 0.1;

    /// <summary>How long past its expiry a copy is kept for the time when the source fails.</summary>
    /// <value>Default: 1 h. Range: 0 (no fail-safe) to 365 days.</value>
    [TimeRange("00:00:00", "365.00:00:00")]
    public TimeSpan StaleFor { get; set; } = TimeSpan.FromHours(1);

    /// <summary>How long a stale copy that stood in for a failed load is served before the source is tried again.</summary>
    /// <value>Default: 5 s. Range: 0 to 1 day.</value>
    [TimeRange("00:00:00", "1.00:00:00")]
    public TimeSpan StaleThrottle { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How long callers wait for a load while a stale copy is at hand.</summary>
    /// <value>Default: infinite (off). Range: 1 ms to 1 day.</value>
    [TimeRange("00:00:00.001", "1.00:00:00", AllowInfinite = true)]
    public TimeSpan SoftTimeout { get; set; } = Timeout.InfiniteTimeSpan;

    /// <summary>How long a load may take before it is cancelled and abandoned.</summary>
    /// <value>Default: 30 s. Range: 1 ms to 1 day.</value>
    [TimeRange("00:00:00.001", "1.00:00:00")]
    public TimeSpan LoadTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>The share of the time to live after which the next reader starts a refresh in the background.</summary>
    /// <value>Default: 0 (off). Range: 0 to 0.99.</value>
    [Range(0.0, 0.99)]
    public double EagerRefresh { get; set; }

    /// <summary>The XFetch factor.</summary>
    /// <value>Default: 0 (off). Range: 0 to 100.</value>
    [Range(0.0, 100.0)]
    public double Beta { get; set; }

    /// <summary>How long "absent" is remembered.</summary>
    /// <value>Default: 30 s. Range: 0 (not at all) to 365 days.</value>
    [TimeRange("00:00:00", "365.00:00:00")]
    public TimeSpan NegativeExpiration { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a failure is handed to further callers without another try.</summary>
    /// <value>Default: 0 (not at all). Range: 0 to 1 day.</value>
    [TimeRange("00:00:00", "1.00:00:00")]
    public TimeSpan FailureExpiration { get; set; }

    /// <summary>How many factories of this cache may run at a time; further loads wait, within their load timeout.</summary>
    /// <value>Default: 1,024. Range: 1 to 1,000,000. At start.</value>
    [Range(1, 1_000_000)]
    public int MaxConcurrentLoads { get; set; } = 1024;

    /// <summary>The longest key, in characters; a longer one is not cached.</summary>
    /// <value>Default: 1,024. Range: 1 to 16,384.</value>
    [Range(1, 16_384)]
    public int MaxKeyLength { get; set; } = 1024;

    /// <summary>The largest serialised value; a larger one is handed out uncached.</summary>
    /// <value>Default: 1 MiB. Range: 1 B to 512 MiB.</value>
    [ByteSize(1, 512L << 20)]
    public long MaxPayload { get; set; } = 1L << 20;

    /// <summary>Whether one instance of a mutable type is handed to all callers. Only for values that nobody changes.</summary>
    /// <value>Default: false.</value>
    public bool ReuseInstances { get; set; }

    /// <summary>Whether payloads are compressed for the shared tier.</summary>
    /// <value>Default: true.</value>
    public bool Compression { get; set; } = true;

    /// <summary>Payloads smaller than this are not worth compressing.</summary>
    /// <value>Default: 8 KiB. Range: 64 B to 512 MiB.</value>
    [ByteSize(64, 512L << 20)]
    public long CompressionThreshold { get; set; } = 8 << 10;

    /// <summary>How many different tags the node keeps in mind; past it the longest unused is forgotten and its entries are loaded anew.</summary>
    /// <value>Default: 16,384. Range: 16 to 10,000,000. At start.</value>
    [Range(16, 10_000_000)]
    public int MaxTrackedTags { get; set; } = 16_384;

    /// <summary>
    /// The feature that the cache serves. While it is degraded or off, reads are answered with stale copies where there are any, and their loads run
    /// in the background. Needs <c>AddResilienceKit()</c>, which joins the two.
    /// </summary>
    /// <value>Default: none.</value>
    public string? Feature { get; set; }

    /// <summary>
    /// The name of the Polly pipeline that each load runs in, from <c>ResiliencePipelineProvider&lt;string&gt;</c>. All its attempts together are
    /// bounded by <see cref="LoadTimeout"/>.
    /// </summary>
    /// <value>Default: none. At start.</value>
    public string? LoadPipeline { get; set; }

    /// <summary>The local tier.</summary>
    public LocalTierOptions Local { get; set; } = new();

    /// <summary>The guard, where one was added with <c>AddBloomGuard</c>.</summary>
    public GuardOptions Guard { get; set; } = new();

    /// <summary>How the shared tier is used, where there is one.</summary>
    public SharedTierOptions Shared { get; set; } = new();

    /// <inheritdoc/>
    public void Validate(SettingsProblems problems)
    {
        ArgumentNullException.ThrowIfNull(problems);
        if (LocalExpiration > Expiration)
        {
            problems.Add(nameof(LocalExpiration), LocalExpiration, $"must not be above Expiration ({Expiration:c})");
        }

        if (SoftTimeout != Timeout.InfiniteTimeSpan && SoftTimeout >= LoadTimeout)
        {
            problems.Add(nameof(SoftTimeout), SoftTimeout, $"must be below LoadTimeout ({LoadTimeout:c})");
        }

        if (Shared.TombstoneLifetime < LoadTimeout + Shared.HardTimeout)
        {
            problems.Add("Shared:TombstoneLifetime", Shared.TombstoneLifetime, $"must not be below LoadTimeout + Shared:HardTimeout ({LoadTimeout + Shared.HardTimeout:c}), or a load could outlive the mark of a removal");
        }
    }
}
