namespace Resilience.Pools;

/// <summary>Who of the callers that wait for a resource is served next, among those of equal priority.</summary>
public enum WaiterOrder
{
    /// <summary>First come, first served.</summary>
    Fifo,

    /// <summary>
    /// First come, first served, until a queue stands: then the newest first, and newcomers wait no longer than the CoDel target. Those
    /// who have waited long have mostly given up already, so the work is spent where somebody still wants it.
    /// </summary>
    AdaptiveLifo,
}
