using Resilience.Incidents.Replay;

namespace Resilience.Incidents.Incidents;

/// <summary>Every incident there is, in the order in which they are told.</summary>
internal static class IncidentList
{
    public static IReadOnlyList<Incident> All { get; } =
    [
        new ContextLeak.ContextLeakIncident(),
        new PoolLeak.PoolLeakIncident(),
        new PoolReconnect.PoolReconnectIncident(),
    ];
}
