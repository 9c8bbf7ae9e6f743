using System.ComponentModel.DataAnnotations;
using Resilience.Settings;

namespace Resilience.Degrade;

/// <summary>
/// The thresholds of one signal: three levels, each entered at one value and left at a lower one. The unit is the signal's: a share from 0 to 1,
/// or seconds.
/// </summary>
public sealed class SignalSettings : ISettings
{
    /// <summary>Makes thresholds for a share: 0.80/0.72, 0.88/0.82, 0.94/0.90.</summary>
    public SignalSettings()
        : this(0.80, 0.72, 0.88, 0.82, 0.94, 0.90)
    {
    }

    internal SignalSettings(double enter, double exit, double highEnter, double highExit, double criticalEnter, double criticalExit)
    {
        (Enter, Exit, HighEnter, HighExit, CriticalEnter, CriticalExit) = (enter, exit, highEnter, highExit, criticalEnter, criticalExit);
    }

    /// <summary>Whether the signal counts at all; true by default.</summary>
    public bool Enabled { get; set; } = true;

    /// <summary>
    /// Whether the signal presses on features that name no <see cref="FeatureSettings.Triggers"/>; true by default. False leaves it to those that name it.
    /// </summary>
    public bool PressesAll { get; set; } = true;

    /// <summary>From this value on the level is <see cref="PressureLevel.Elevated"/>.</summary>
    [Range(0.0, 1_000_000.0)]
    public double Enter { get; set; }

    /// <summary>Below this value it is no more; must be below <see cref="Enter"/>.</summary>
    [Range(0.0, 1_000_000.0)]
    public double Exit { get; set; }

    /// <summary>From this value on the level is <see cref="PressureLevel.High"/>.</summary>
    [Range(0.0, 1_000_000.0)]
    public double HighEnter { get; set; }

    /// <summary>Below this value it is no more; must be below <see cref="HighEnter"/>.</summary>
    [Range(0.0, 1_000_000.0)]
    public double HighExit { get; set; }

    /// <summary>From this value on the level is <see cref="PressureLevel.Critical"/>.</summary>
    [Range(0.0, 1_000_000.0)]
    public double CriticalEnter { get; set; }

    /// <summary>Below this value it is no more; must be below <see cref="CriticalEnter"/>.</summary>
    [Range(0.0, 1_000_000.0)]
    public double CriticalExit { get; set; }

    /// <summary>How long a value must stay above a threshold before the level is entered, at least two samples; 0.5 s by default, up to 5 min.</summary>
    [TimeRange("00:00:00", "00:05:00")]
    public TimeSpan EnterFor { get; set; } = TimeSpan.FromSeconds(0.5);

    /// <summary>How long a value must stay below a threshold before the level is left, one level at a time; 10 s by default, up to 1 h.</summary>
    [TimeRange("00:00:00", "01:00:00")]
    public TimeSpan ExitFor { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Whether admission refuses by priority while this signal presses: bulk and low from <see cref="PressureLevel.Elevated"/>, normal from
    /// <see cref="PressureLevel.High"/>. True for memory; false for the others, because CPU and queues are what the admission controller itself measures.
    /// </summary>
    public bool RefusesRequests { get; set; }

    /// <inheritdoc/>
    public void Validate(SettingsProblems problems)
    {
        ArgumentNullException.ThrowIfNull(problems);
        MustBeBelow(problems, nameof(Exit), Exit, nameof(Enter), Enter);
        MustBeBelow(problems, nameof(HighExit), HighExit, nameof(HighEnter), HighEnter);
        MustBeBelow(problems, nameof(CriticalExit), CriticalExit, nameof(CriticalEnter), CriticalEnter);
        MustBeBelow(problems, nameof(Enter), Enter, nameof(HighEnter), HighEnter);
        MustBeBelow(problems, nameof(HighEnter), HighEnter, nameof(CriticalEnter), CriticalEnter);
        MustNotBeAbove(problems, nameof(Exit), Exit, nameof(HighExit), HighExit);
        MustNotBeAbove(problems, nameof(HighExit), HighExit, nameof(CriticalExit), CriticalExit);
    }

    private static void MustBeBelow(SettingsProblems problems, string name, double value, string bound, double limit)
    {
        if (value >= limit)
        {
            problems.Add(name, value, FormattableString.Invariant($"must be below {bound} ({limit})"));
        }
    }

    private static void MustNotBeAbove(SettingsProblems problems, string name, double value, string bound, double limit)
    {
        if (value > limit)
        {
            problems.Add(name, value, FormattableString.Invariant($"must not be above {bound} ({limit})"));
        }
    }
}
