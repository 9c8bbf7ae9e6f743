using Resilience.Context;
using System.ComponentModel.DataAnnotations;
using System.Globalization;
using Resilience.Settings;

namespace Resilience.Degrade;

/// <summary>The settings of one feature, at <c>Resilience:Degrade:Features:NAME</c>. <c>"comments": "Off"</c> is short for <c>"comments": { "Mode": "Off" }</c>.</summary>
public sealed class FeatureSettings : IShorthandSettings
{
    /// <summary>What holds for the feature; <see cref="FeatureMode.Auto"/> by default.</summary>
    public FeatureMode Mode { get; set; }

    /// <summary>How much the feature matters; as declared when absent.</summary>
    public Priority? Priority { get; set; }

    /// <summary>
    /// The pressure from which the feature runs in its cheaper form. When absent: <see cref="PressureLevel.Elevated"/> for low,
    /// <see cref="PressureLevel.High"/> for normal priority, never for critical; bulk goes straight off. Not <see cref="PressureLevel.Normal"/>.
    /// </summary>
    public PressureLevel? DegradeAt { get; set; }

    /// <summary>
    /// The pressure from which the feature is off. When absent: <see cref="PressureLevel.Elevated"/> for bulk, <see cref="PressureLevel.High"/>
    /// for low, <see cref="PressureLevel.Critical"/> for normal priority, never for critical. Not <see cref="PressureLevel.Normal"/>.
    /// </summary>
    public PressureLevel? OffAt { get; set; }

    /// <summary>The signals whose pressure counts for this feature, such as <c>pool:smtp</c>; empty, the default, for the pressure of the whole process.</summary>
    public IList<string> Triggers { get; } = [];

    /// <summary>
    /// Who is spared by configuration and pressure; an operator's override spares nobody. Counts in <c>Decide</c>, which is told the caller;
    /// <c>StateOf</c>, <c>RunAsync</c> and endpoints know none.
    /// </summary>
    public ExemptSettings Exempt { get; } = new();

    /// <summary>
    /// The share of callers for whom a configured <c>Off</c> or <c>Degraded</c> holds, 0 to 100; 100 by default. A caller always gets the same answer.
    /// Counts in <c>Decide</c>, which is told the caller; it holds for all callers of <c>StateOf</c>, <c>RunAsync</c> and endpoints, which know none.
    /// </summary>
    [Range(0.0, 100.0)]
    public double Percent { get; set; } = 100;

    /// <summary>When a configured mode ends and <see cref="FeatureMode.Auto"/> holds again: a date with time and offset such as <c>2026-10-01T00:00:00Z</c>; never by default.</summary>
    public string? Until { get; set; }

    /// <summary>Why the mode is what it is; shown on the dashboard.</summary>
    public string? Reason { get; set; }

    /// <summary>The state from which <c>RunAsync</c> and endpoints answer with the fallback; <see cref="FeatureState.Off"/> by default. Not <see cref="FeatureState.Normal"/>.</summary>
    public FeatureState FallbackAt { get; set; } = FeatureState.Off;

    /// <summary>Whether the fallback answers when the work fails; true by default.</summary>
    public bool FallbackOnError { get; set; } = true;

    /// <summary>How long a fallback may take; 1 s by default, 1 ms to 1 min.</summary>
    [TimeRange("00:00:00.001", "00:01:00")]
    public TimeSpan FallbackTimeout { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>How many fallbacks may run at a time; 10 by default, 1 to 10,000. The next one fails at once.</summary>
    [Range(1, 10_000)]
    public int FallbackConcurrency { get; set; } = 10;

    /// <summary>The share of healthy calls that take the fallback, 0 to 50, so that it is known to work; 0 by default. Never for a security critical feature.</summary>
    [Range(0.0, 50.0)]
    public double DrillPercent { get; set; }

    /// <inheritdoc/>
    public string? ReadShorthand(string value)
    {
        ArgumentNullException.ThrowIfNull(value);
        switch (value.ToUpperInvariant())
        {
            case "AUTO":
                Mode = FeatureMode.Auto;
                return null;
            case "ON" or "TRUE":
                Mode = FeatureMode.On;
                return null;
            case "OFF" or "FALSE":
                Mode = FeatureMode.Off;
                return null;
            case "DEGRADED":
                Mode = FeatureMode.Degraded;
                return null;
            default:
                return "must be 'Auto', 'On', 'Degraded' or 'Off', or a section with a Mode";
        }
    }

    /// <inheritdoc/>
    public void Validate(SettingsProblems problems)
    {
        ArgumentNullException.ThrowIfNull(problems);
        if (DegradeAt == PressureLevel.Normal)
        {
            problems.Add(nameof(DegradeAt), DegradeAt, "must be 'Elevated', 'High' or 'Critical'");
        }

        if (OffAt == PressureLevel.Normal)
        {
            problems.Add(nameof(OffAt), OffAt, "must be 'Elevated', 'High' or 'Critical'");
        }

        if (DegradeAt is { } degrade && OffAt is { } off && off < degrade)
        {
            problems.Add(nameof(OffAt), OffAt, $"must not be below DegradeAt ({degrade})");
        }

        if (FallbackAt == FeatureState.Normal)
        {
            problems.Add(nameof(FallbackAt), FallbackAt, "must be 'Degraded' or 'Off'");
        }

        if (!string.IsNullOrEmpty(Until) && !TryReadUntil(out _))
        {
            problems.Add(nameof(Until), Until, "must be a date with time and offset, such as '2026-10-01T00:00:00Z'");
        }
    }

    internal bool TryReadUntil(out DateTimeOffset until) => DateTimeOffset.TryParseExact(
        Until,
        ["yyyy-MM-dd'T'HH:mm:ssK", "yyyy-MM-dd'T'HH:mmK", "yyyy-MM-dd'T'HH:mm:ss.FFFFFFFK"],
        CultureInfo.InvariantCulture,
        DateTimeStyles.AssumeUniversal,
        out until);
}

/// <summary>Who is spared from the degradation of a feature.</summary>
public sealed class ExemptSettings : ISettings
{
    /// <summary>Groups that are spared, where the caller is told, in <c>Decide</c>; none by default.</summary>
    public IList<string> Groups { get; } = [];

    /// <summary>Users that are spared, where the caller is told, in <c>Decide</c>; none by default.</summary>
    public IList<string> Users { get; } = [];
}
