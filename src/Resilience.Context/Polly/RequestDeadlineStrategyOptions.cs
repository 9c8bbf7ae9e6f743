using Polly;
using Resilience.Settings;

namespace Resilience.Context;

/// <summary>How attempts are bounded by the deadline of the current request.</summary>
public sealed class RequestDeadlineStrategyOptions : ResilienceStrategyOptions
{
    /// <summary>Makes options with the default name.</summary>
    public RequestDeadlineStrategyOptions()
    {
        Name = "RequestDeadline";
    }

    /// <summary>
    /// The least that must be left for an attempt to begin; from zero to one day, 5 ms by default. Set it to what an attempt usually takes.
    /// </summary>
    [TimeRange("00:00:00", "1.00:00:00")]
    public TimeSpan MinimumUseful { get; set; } = TimeSpan.FromMilliseconds(5);
}
