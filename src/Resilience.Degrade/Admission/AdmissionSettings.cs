using System.ComponentModel.DataAnnotations;
using Resilience.Settings;

namespace Resilience.Degrade;

/// <summary>The settings of admission, at <c>Resilience:Degrade:Admission</c>.</summary>
public sealed class AdmissionSettings : ISettings
{
    /// <summary>Whether requests are refused at all; true by default.</summary>
    public bool Enabled { get; set; } = true;

    /// <summary>Whether refusals are only counted and nothing is refused; false by default.</summary>
    public bool DryRun { get; set; }

    /// <summary>Paths that are always admitted, with all below them. Health, metrics and dashboard by default; a list in the configuration replaces it.</summary>
    public IList<string> Bypass { get; } = ["/health", "/metrics", "/resilience"];

    /// <summary>
    /// The middle of the <c>Retry-After</c> of a refusal; each is drawn evenly from 1 s to twice this less 1 s, so that the refused do not come back
    /// together. 3 s by default, 1 s to 5 min; whole seconds. Longer than what is told after a single failure (<c>Failures:RetryAfter</c>), as an overload
    /// lasts longer.
    /// </summary>
    [TimeRange("00:00:01", "00:05:00")]
    public TimeSpan RetryAfter { get; set; } = TimeSpan.FromSeconds(3);

    /// <summary>The CPU average, as a share of what the process may use, above which it is hot; 0.85 by default, 0.3 to 1.</summary>
    [Range(0.3, 1.0)]
    public double HotCpu { get; set; } = 0.85;

    /// <summary>The CPU average below which it can be cold again; 0.75 by default, 0.2 to 0.99, below <see cref="HotCpu"/>.</summary>
    [Range(0.2, 0.99)]
    public double ColdCpu { get; set; } = 0.75;

    /// <summary>The wait for a thread or for something else that is queued for, above which it is hot; 20 ms by default, 1 ms to 10 s.</summary>
    [TimeRange("00:00:00.001", "00:00:10")]
    public TimeSpan HotQueueWait { get; set; } = TimeSpan.FromMilliseconds(20);

    /// <summary>A request header in which a trusted caller says how much a request matters; none, the default, is ignored.</summary>
    public string? PriorityHeader { get; set; }

    /// <summary>The networks or addresses whose <see cref="PriorityHeader"/> is believed, such as <c>10.0.0.0/8</c>; none by default.</summary>
    public IList<string> TrustedPeers { get; } = [];

    /// <inheritdoc/>
    public void Validate(SettingsProblems problems)
    {
        ArgumentNullException.ThrowIfNull(problems);
        if (ColdCpu >= HotCpu)
        {
            problems.Add(nameof(ColdCpu), ColdCpu, FormattableString.Invariant($"must be below HotCpu ({HotCpu})"));
        }

        for (int i = 0; i < Bypass.Count; i++)
        {
            if (!Bypass[i].StartsWith('/'))
            {
                problems.Add($"{nameof(Bypass)}:{i}", Bypass[i], "must be a path that starts with '/'");
            }
        }

        for (int i = 0; i < TrustedPeers.Count; i++)
        {
            if (!System.Net.IPNetwork.TryParse(TrustedPeers[i], out _) && !System.Net.IPAddress.TryParse(TrustedPeers[i], out _))
            {
                problems.Add($"{nameof(TrustedPeers)}:{i}", TrustedPeers[i], "must be an address or a network such as '10.0.0.0/8'");
            }
        }
    }
}
