using System.ComponentModel.DataAnnotations;
using Resilience.Settings;

namespace Resilience.Degrade;

/// <summary>The settings of degradation, by default at <c>Resilience:Degrade</c>. All of them reload live.</summary>
public sealed class DegradeSettings : ISettings
{
    /// <summary>The features by name. A name that no feature has is warned of once; it may be declared later.</summary>
    public SettingsMap<FeatureSettings> Features { get; } = [];

    /// <summary>
    /// How many features pressure may switch off at a time; 8 by default, 0 to 1,000. Beyond it the more important ones are degraded instead:
    /// what matters least goes first.
    /// </summary>
    [Range(0, 1_000)]
    public int MaxAutomaticOff { get; set; } = 8;

    /// <summary>How pressure is sampled, and the thresholds of each signal.</summary>
    public PressureSettings Pressure { get; } = new();

    /// <summary>Which requests are admitted under overload.</summary>
    public AdmissionSettings Admission { get; } = new();

    /// <summary>How operators override features for a while.</summary>
    public OverrideSettings Overrides { get; } = new();
}
