using System.Net;
using Resilience.Settings;

namespace Resilience.Context;

/// <summary>How long requests may take, whom to believe about it, and when a scope counts as leaked. Section <c>Resilience:Context</c>.</summary>
public sealed class ContextSettings : ISettings
{
    /// <summary>The configuration section.</summary>
    public const string SectionPath = "Resilience:Context";

    /// <summary>How long a request may take whose endpoint says nothing else; from 10 ms to one day, or infinite. Ten seconds by default.</summary>
    [TimeRange("00:00:00.010", "1.00:00:00", AllowInfinite = true)]
    public TimeSpan DefaultTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>The longest time that a caller may ask for; more is cut to this. From 10 ms to one day. One minute by default.</summary>
    [TimeRange("00:00:00.010", "1.00:00:00")]
    public TimeSpan MaxInboundTimeout { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>
    /// The callers whose timeout, identifier, priority and baggage are believed: addresses, or networks such as <c>10.0.0.0/8</c>.
    /// Nobody by default.
    /// </summary>
    public IList<string> TrustedPeers { get; } = [];

    /// <summary>When a scope counts as leaked and when it is ended by force.</summary>
    public LeakSettings Leak { get; } = new();

    /// <summary>What is kept back of a deadline when it is handed on.</summary>
    public DeadlineSettings Deadline { get; } = new();

    /// <inheritdoc/>
    public void Validate(SettingsProblems problems)
    {
        ArgumentNullException.ThrowIfNull(problems);
        for (int index = 0; index < TrustedPeers.Count; index++)
        {
            string peer = TrustedPeers[index];
            if (!IPNetwork.TryParse(peer, out _) && !IPAddress.TryParse(peer, out _))
            {
                problems.Add($"{nameof(TrustedPeers)}:{index}", peer, "must be an address or a network such as 10.0.0.0/8 whose host bits are zero");
            }
        }
    }
}
