using Resilience.Incidents.Replay;

namespace Resilience.Incidents.Incidents;

/// <summary>Every incident there is, in the order in which they are told.</summary>
internal static class IncidentList
{
    public static IReadOnlyList<Incident> All { get; } =
    [
        new ContextLeak.ContextLeakIncident(),
        new GatewayPointer.GatewayPointerIncident(),
        new PoolLeak.PoolLeakIncident(),
        new PoolReconnect.PoolReconnectIncident(),
        new Avalanche.AvalancheIncident(),
        new Breakdown.BreakdownIncident(),
        new Penetration.PenetrationIncident(),
        new HungLoader.HungLoaderIncident(),
        new LostInvalidation.LostInvalidationIncident(),
        new RedisOutage.RedisOutageIncident(),
        new Cascade.CascadeIncident(),
        new OverloadCpu.OverloadCpuIncident(),
        new OverloadMemory.OverloadMemoryIncident(),
        new LogBatching.LogBatchingIncident(),
        new ObjectReuse.ObjectReuseIncident(),
    ];
}
