using System.ComponentModel.DataAnnotations;
using Resilience.Settings;

namespace Resilience.Caching.Shared;

/// <summary>How a cache uses its shared tier.</summary>
public sealed class SharedTierOptions : ISettings
{
    /// <summary>Whether the shared tier is used at all.</summary>
    /// <value>Default: true; without a registered tier the cache is local.</value>
    public bool Enabled { get; set; } = true;

    /// <summary>How long a read waits for the shared tier while a stale copy is at hand.</summary>
    /// <value>Default: 100 ms. Range: 1 ms to 1 min.</value>
    [TimeRange("00:00:00.001", "00:01:00")]
    public TimeSpan SoftTimeout { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>How long any call to the shared tier may take; past it the read goes on without.</summary>
    /// <value>Default: 500 ms. Range: 1 ms to 1 min.</value>
    [TimeRange("00:00:00.001", "00:01:00")]
    public TimeSpan HardTimeout { get; set; } = TimeSpan.FromMilliseconds(500);

    /// <summary>Whether a load answers only when its value is in the shared tier, instead of writing it in the background.</summary>
    /// <value>Default: false.</value>
    public bool AwaitWrites { get; set; }

    /// <summary>How many background writes may wait; past it a write is dropped and counted, and other nodes load for themselves.</summary>
    /// <value>Default: 10,000. Range: 1 to 1,000,000.</value>
    [Range(1, 1_000_000)]
    public int MaxPendingWrites { get; set; } = 10_000;

    /// <summary>How many keys missed by writes and removals are kept for replay while the shared tier is out; past it everything is invalidated on recovery.</summary>
    /// <value>Default: 10,000. Range: 1 to 1,000,000.</value>
    [Range(1, 1_000_000)]
    public int MaxRecoveryKeys { get; set; } = 10_000;

    /// <summary>How long the mark of a removal stays, so that no load that began before it can bring the value back.</summary>
    /// <value>Default: 2 min. Range: 1 s to 2 days, and at least the load timeout plus the hard timeout.</value>
    [TimeRange("00:00:01", "2.00:00:00")]
    public TimeSpan TombstoneLifetime { get; set; } = TimeSpan.FromMinutes(2);

    /// <summary>How long a known version of a tag or of the namespace is used before it is read again.</summary>
    /// <value>Default: 30 s. Range: 0 to 1 h.</value>
    [TimeRange("00:00:00", "01:00:00")]
    public TimeSpan VersionLifetime { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a local copy is served that cannot be compared with the shared tier, because that is out of reach, after an invalidation may have been missed.</summary>
    /// <value>Default: 30 s. Range: 0 to 1 h.</value>
    [TimeRange("00:00:00", "01:00:00")]
    public TimeSpan BlindFor { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Whether nodes take turns: one loads a key, the others wait for its value in the shared tier.</summary>
    /// <value>Default: false.</value>
    public bool Leases { get; set; }

    /// <summary>How long a lease lasts unless it is renewed, which its holder does at a third of it.</summary>
    /// <value>Default: 10 s. Range: 100 ms to 10 min.</value>
    [TimeRange("00:00:00.100", "00:10:00")]
    public TimeSpan LeaseDuration { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a node waits for another's load before it loads too.</summary>
    /// <value>Default: 5 s. Range: 0 to 10 min.</value>
    [TimeRange("00:00:00", "00:10:00")]
    public TimeSpan LeaseWait { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// The name of the Polly pipeline that each call to the shared tier runs in, from <c>ResiliencePipelineProvider&lt;string&gt;</c>, such as one with
    /// a retry. All its attempts together are bounded by the timeouts above, and are one call to the breaker.
    /// </summary>
    /// <value>Default: none. At start.</value>
    public string? Pipeline { get; set; }

    /// <summary>When the shared tier is taken for broken.</summary>
    public SharedBreakerOptions Breaker { get; set; } = new();

    /// <summary>How nodes tell one another of changes.</summary>
    public BackplaneOptions Backplane { get; set; } = new();

    /// <inheritdoc/>
    public void Validate(SettingsProblems problems)
    {
        ArgumentNullException.ThrowIfNull(problems);
        if (SoftTimeout > HardTimeout)
        {
            problems.Add(nameof(SoftTimeout), SoftTimeout, $"must not be above HardTimeout ({HardTimeout:c})");
        }
    }
}

/// <summary>When the shared tier is taken for broken, and how long.</summary>
public sealed class SharedBreakerOptions : ISettings
{
    /// <summary>The share of failed calls at which it opens. Timeouts are failures; misses and cancelled calls are not.</summary>
    /// <value>Default: 0.5. Range: 0.01 to 1.</value>
    [Range(0.01, 1.0)]
    public double FailureRatio { get; set; } = 0.5;

    /// <summary>The calls within the window before the share means anything.</summary>
    /// <value>Default: 4. Range: 1 to 10,000.</value>
    [Range(1, 10_000)]
    public int MinimumCalls { get; set; } = 4;

    /// <summary>How far back calls are counted; of a busy tier the newest 32 count, or <see cref="MinimumCalls"/> if that is more, so that it opens soon.</summary>
    /// <value>Default: 10 s. Range: 100 ms to 10 min.</value>
    [TimeRange("00:00:00.100", "00:10:00")]
    public TimeSpan Window { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How long it stays open before it is probed, and between two probes; drawn within ±20 %. Probes run in the background: no caller waits for one.</summary>
    /// <value>Default: 500 ms. Range: 10 ms to 10 min.</value>
    [TimeRange("00:00:00.010", "00:10:00")]
    public TimeSpan OpenFor { get; set; } = TimeSpan.FromMilliseconds(500);
}

/// <summary>How nodes tell one another of changes.</summary>
public sealed class BackplaneOptions : ISettings
{
    /// <summary>Whether changes are announced and heard. Can be switched on by a reload; switching it off takes a restart.</summary>
    /// <value>Default: true, where the shared tier has a backplane.</value>
    public bool Enabled { get; set; } = true;

    /// <summary>How long the node hears nothing before it pings itself through the channel; a ping that does not come back is a lost channel.</summary>
    /// <value>Default: 5 s. Range: 100 ms to 10 min.</value>
    [TimeRange("00:00:00.100", "00:10:00")]
    public TimeSpan Heartbeat { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a message that came too early waits for the one before it.</summary>
    /// <value>Default: 250 ms. Range: 0 to 1 min.</value>
    [TimeRange("00:00:00", "00:01:00")]
    public TimeSpan ReorderWithin { get; set; } = TimeSpan.FromMilliseconds(250);

    /// <summary>How many announcements may wait to be sent; past it they are dropped, and everybody is told to compare.</summary>
    /// <value>Default: 10,000. Range: 16 to 1,000,000. At start.</value>
    [Range(16, 1_000_000)]
    public int MaxPending { get; set; } = 10_000;
}
