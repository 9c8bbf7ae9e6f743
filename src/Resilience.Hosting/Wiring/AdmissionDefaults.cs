using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Options;
using Resilience.Context;
using Resilience.Degrade;

namespace Resilience.Hosting.Wiring;

/// <summary>
/// Has admission believe the callers whom request scopes believe: those of <c>Resilience:Context:TrustedPeers</c>, who say how much a request matters
/// in the header that <c>AddRequestScopePropagation()</c> sends. What stands under <c>Resilience:Degrade:Admission</c> wins.
/// </summary>
internal sealed class AdmissionDefaults(IConfiguration configuration) : IConfigureNamedOptions<DegradeSettings>
{
    public void Configure(string? name, DegradeSettings options)
    {
        options.Admission.PriorityHeader ??= ScopeHeaders.Priority;
        foreach (IConfigurationSection peer in configuration.GetSection($"{ContextSettings.SectionPath}:TrustedPeers").GetChildren())
        {
            if (peer.Value is { Length: > 0 } address)
            {
                options.Admission.TrustedPeers.Add(address);
            }
        }
    }

    public void Configure(DegradeSettings options) => Configure(Options.DefaultName, options);
}
