using System.ComponentModel.DataAnnotations;
using Resilience.Settings;

namespace Resilience.AspNetCore;

/// <summary>The settings of the dashboard, at <c>Resilience:Dashboard</c>. All of them reload live.</summary>
public sealed class DashboardSettings : ISettings
{
    /// <summary>The configuration path.</summary>
    internal const string SectionPath = "Resilience:Dashboard";

    /// <summary>How often the figures are read while somebody looks at them; 1 s by default, 250 ms to 1 min. Nothing is read while nobody does.</summary>
    [TimeRange("00:00:00.250", "00:01:00")]
    public TimeSpan SampleInterval { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>For how long the plots go back; 5 min by default, 10 s to 1 h.</summary>
    [TimeRange("00:00:10", "01:00:00")]
    public TimeSpan History { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>How many pages may be watching at a time; 32 by default, 1 to 1,000. One more is answered with 503.</summary>
    [Range(1, 1_000)]
    public int MaxWatchers { get; set; } = 32;

    /// <summary>
    /// After how long the stream of figures ends, so that the browser comes again and is authorized anew; 10 min by default, 10 s to 1 day.
    /// </summary>
    [TimeRange("00:00:10", "1.00:00:00")]
    public TimeSpan ReauthorizeAfter { get; set; } = TimeSpan.FromMinutes(10);

    /// <summary>The longest time for which the page overrides a feature; 24 h by default, 1 min to 24 h.</summary>
    [TimeRange("00:01:00", "1.00:00:00")]
    public TimeSpan MaxOverride { get; set; } = TimeSpan.FromHours(24);

    /// <summary>
    /// Whether those who may change something also see which keys are hot and which begin like one that they look up; <see langword="false"/>
    /// by default, because keys may be personal data. Others never see keys, and nobody sees values.
    /// </summary>
    public bool ShowKeys { get; set; }
}
