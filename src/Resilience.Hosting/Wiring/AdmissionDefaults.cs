using System.Net;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Options;
using Resilience.Context;
using Resilience.Degrade;
using Resilience.Settings;

namespace Resilience.Hosting.Wiring;

/// <summary>
/// Has admission believe the callers whom request scopes believe: those of <c>Resilience:Context:TrustedPeers</c>, who say how much a request matters
/// in the header that <c>AddRequestScopePropagation()</c> sends. What stands under <c>Resilience:Degrade:Admission</c> wins. Live, as they are.
/// </summary>
internal sealed class AdmissionDefaults(IConfiguration configuration) : IConfigureNamedOptions<DegradeSettings>, IReadsSection
{
    private volatile string[] _peers = [];

    public IConfigurationSection Section { get; } = configuration.GetSection($"{ContextSettings.SectionPath}:TrustedPeers");

    public void Configure(string? name, DegradeSettings options)
    {
        options.Admission.PriorityHeader ??= ScopeHeaders.Priority;

        // One that is wrong is reported where it stands, and until it is mended the last good ones hold there too.
        string[] peers = [.. Section.GetChildren().Select(static peer => peer.Value).OfType<string>().Where(static peer => peer.Length > 0)];
        if (Array.TrueForAll(peers, static peer => IPNetwork.TryParse(peer, out _) || IPAddress.TryParse(peer, out _)))
        {
            _peers = peers;
        }

        foreach (string peer in _peers)
        {
            options.Admission.TrustedPeers.Add(peer);
        }
    }

    public void Configure(DegradeSettings options) => Configure(Options.DefaultName, options);
}
