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

    /// <summary>
    /// After what time callers are asked to come back when nothing better is known; 2 s by default, 1 s to 10 min. Each is told a time from 1 s
    /// to twice this, so that they do not all come back at once.
    /// </summary>
    [TimeRange("00:00:01", "00:10:00")]
    public TimeSpan RetryAfter { get; set; } = TimeSpan.FromSeconds(2);
}
