using System.ComponentModel.DataAnnotations;
using Resilience.Settings;

namespace Resilience.Caching.Guard;

/// <summary>The bloom guard of a cache.</summary>
public sealed class GuardOptions : ISettings
{
    /// <summary>Whether the guard may refuse. When off, it neither loads nor refuses; additions are still kept.</summary>
    /// <value>Default: <see langword="true"/>.</value>
    public bool Enabled { get; set; } = true;

    /// <summary>How many keys to make room for. A source that turns out larger makes the filter larger.</summary>
    /// <value>Default: 100,000. Range: 1 to 1,000,000,000.</value>
    [Range(1L, 1_000_000_000L)]
    public long ExpectedKeys { get; set; } = 100_000;

    /// <summary>The share of absent keys that pass as "may be present" when the filter holds what it was made for.</summary>
    /// <value>Default: 0.005 (about 12 bits a key). Range: 0.000001 to 0.25.</value>
    [Range(0.000001, 0.25)]
    public double FalsePositiveRate { get; set; } = 0.005;

    /// <summary>How often the filter is built anew from the source, jittered by ±10 %; this is what forgets deleted keys.</summary>
    /// <value>Default: 1 h. Range: 1 s to 7 d.</value>
    [TimeRange("00:00:01", "7.00:00:00")]
    public TimeSpan Rebuild { get; set; } = TimeSpan.FromHours(1);

    /// <summary>The oldest filter that may still refuse, counted from the start of its snapshot.</summary>
    /// <value>Default: 24 h. Range: 1 s to 30 d; must be above <see cref="Rebuild"/>.</value>
    [TimeRange("00:00:01", "30.00:00:00")]
    public TimeSpan MaxAge { get; set; } = TimeSpan.FromHours(24);

    /// <summary>
    /// The longest time between an addition and the commit of its row. Additions that young are replayed into every new filter, at a
    /// memory of 8 bytes each. A row committed later than this is protected by the next rebuild only.
    /// </summary>
    /// <value>Default: 15 min. Range: 1 s to 1 d.</value>
    [TimeRange("00:00:01", "1.00:00:00")]
    public TimeSpan CommitWithin { get; set; } = TimeSpan.FromMinutes(15);

    /// <summary>
    /// With a shared journal: a node refuses only within this time after it had read the journal to its end. An addition waits until
    /// every node has confirmed it, at most this long.
    /// </summary>
    /// <value>Default: 500 ms. Range: 50 ms to 1 min.</value>
    [TimeRange("00:00:00.050", "00:01:00")]
    public TimeSpan Freshness { get; set; } = TimeSpan.FromMilliseconds(500);

    /// <summary>The share of refusals that are let through to the source to prove the guard right.</summary>
    /// <value>Default: 0.001. Range: 0 to 1.</value>
    [Range(0.0, 1.0)]
    public double AuditShare { get; set; } = 0.001;

    /// <summary>The filter counts as overfull, and passes everything, when its estimated false-positive rate is above the configured one by this factor.</summary>
    /// <value>Default: 4. Range: 1.5 to 1,000.</value>
    [Range(1.5, 1000.0)]
    public double OverfillFactor { get; set; } = 4;

    /// <summary>
    /// How long an addition may matter to a snapshot that begins now: its caller was told of it up to a freshness after it was written,
    /// and commits within <see cref="CommitWithin"/> after that.
    /// </summary>
    internal TimeSpan Retention => CommitWithin + Freshness + BloomGuard.ClockSlack;

    /// <inheritdoc/>
    public void Validate(SettingsProblems problems)
    {
        ArgumentNullException.ThrowIfNull(problems);
        if (MaxAge <= Rebuild)
        {
            problems.Add(nameof(MaxAge), MaxAge, $"must be above Rebuild ({Rebuild:c}), or the guard would stop refusing before each rebuild");
        }
    }
}
