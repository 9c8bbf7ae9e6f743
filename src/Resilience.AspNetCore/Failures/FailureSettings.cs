using Resilience.Settings;

namespace Resilience.AspNetCore;

/// <summary>How failures of the kit's blocks are answered over HTTP, at <c>Resilience:Failures</c>. All of it reloads live.</summary>
public sealed class FailureSettings : ISettings
{
    /// <summary>The configuration path.</summary>
    internal const string SectionPath = "Resilience:Failures";

    /// <summary>
    /// Whether a request that fails because a pool, a source, a queue, a feature or a Polly pipeline cannot serve it now is answered with
    /// <c>503</c>; <see langword="true"/> by default. Otherwise such exceptions go on to the application. A spent deadline is answered with
    /// <c>504</c> in any case.
    /// </summary>
    public bool Answer { get; set; } = true;

    internal static readonly TimeSpan DefaultRetryAfter = TimeSpan.FromSeconds(2);

    /// <summary>
    /// After what time callers are asked to come back when nothing better is known, endpoints of a feature that has no other answer included; 2 s
    /// by default, 1 s to 10 min. Each is told a time from 1 s to twice this, so that they do not all come back at once. Whom admission refuses is
    /// told <c>Degrade:Admission:RetryAfter</c>, which is longer: an overload lasts longer than most failures of one thing.
    /// </summary>
    [TimeRange("00:00:01", "00:10:00")]
    public TimeSpan RetryAfter { get; set; } = DefaultRetryAfter;
}
