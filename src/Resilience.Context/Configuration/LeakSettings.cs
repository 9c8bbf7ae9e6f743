using System.ComponentModel.DataAnnotations;
using Resilience.Settings;

namespace Resilience.Context;

/// <summary>When a request scope that nobody ends counts as leaked, and when it is ended by force.</summary>
public sealed class LeakSettings : ISettings
{
    /// <summary>Whether scopes are watched at all; true by default. Read at start.</summary>
    public bool Enabled { get; set; } = true;

    /// <summary>The age at which a scope that is past its deadline, or has none, is reported. From 100 ms to one day; one minute by default.</summary>
    [TimeRange("00:00:00.100", "1.00:00:00")]
    public TimeSpan After { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>
    /// The age at which a scope that has no deadline, or passed it longer than <see cref="After"/> ago, is ended by force, so that what it
    /// carries can be collected.
    /// From 100 ms to seven days, not below <see cref="After"/>; ten minutes by default.
    /// </summary>
    [TimeRange("00:00:00.100", "7.00:00:00")]
    public TimeSpan HardExpiry { get; set; } = TimeSpan.FromMinutes(10);

    /// <summary>How often live scopes are looked through; from 50 ms to one hour, five seconds by default. Read at start.</summary>
    [TimeRange("00:00:00.050", "01:00:00")]
    public TimeSpan SweepInterval { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>One scope in this many keeps the stack that began it, which costs about 5 µs; 0 for none. From 0 to 1,000,000; 128 by default.</summary>
    [Range(0, 1_000_000)]
    public int StackSampling { get; set; } = 128;

    /// <inheritdoc/>
    public void Validate(SettingsProblems problems)
    {
        ArgumentNullException.ThrowIfNull(problems);
        if (HardExpiry < After)
        {
            problems.Add(nameof(HardExpiry), HardExpiry, $"must not be below After ({After:c})");
        }
    }
}
