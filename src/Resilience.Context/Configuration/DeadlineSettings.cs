using System.ComponentModel.DataAnnotations;
using Resilience.Settings;

namespace Resilience.Context;

/// <summary>What is kept back of a deadline when it is handed on to another service, and what is too little to be worth a call.</summary>
public sealed class DeadlineSettings : ISettings
{
    /// <summary>The share of what remains that is kept for the way back; from 0 to 0.5, 0.02 by default.</summary>
    [Range(0.0, 0.5)]
    public double MarginShare { get; set; } = 0.02;

    /// <summary>The least that is kept; from 0 to one second, 2 ms by default.</summary>
    [TimeRange("00:00:00", "00:00:01")]
    public TimeSpan MinimumMargin { get; set; } = TimeSpan.FromMilliseconds(2);

    /// <summary>The most that is kept; from 0 to ten seconds, not below <see cref="MinimumMargin"/>, 100 ms by default.</summary>
    [TimeRange("00:00:00", "00:00:10")]
    public TimeSpan MaximumMargin { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>A call that could be given less than this is not sent; from 1 ms to ten seconds, 5 ms by default.</summary>
    [TimeRange("00:00:00.001", "00:00:10")]
    public TimeSpan MinimumUseful { get; set; } = TimeSpan.FromMilliseconds(5);

    /// <inheritdoc/>
    public void Validate(SettingsProblems problems)
    {
        ArgumentNullException.ThrowIfNull(problems);
        if (MaximumMargin < MinimumMargin)
        {
            problems.Add(nameof(MaximumMargin), MaximumMargin, $"must not be below MinimumMargin ({MinimumMargin:c})");
        }
    }
}
