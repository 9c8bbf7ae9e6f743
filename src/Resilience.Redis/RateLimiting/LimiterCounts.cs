using System.Runtime.InteropServices;

namespace Resilience.Redis.RateLimiting;

/// <summary>What a limiter has done so far.</summary>
[StructLayout(LayoutKind.Auto)]
internal record struct LimiterCounts
{
    /// <summary>Calls that were granted and refused, for the statistics of a <c>RateLimiter</c>.</summary>
    public long Leases { get; set; }

    public long Refusals { get; set; }

    /// <summary>Permits that the fleet's limit granted and refused.</summary>
    public long Granted { get; set; }

    public long Refused { get; set; }

    /// <summary>Permits that the node's share granted and refused.</summary>
    public long GrantedByShare { get; set; }

    public long RefusedByShare { get; set; }

    /// <summary>Questions to Redis, and those that it did not answer.</summary>
    public long RoundTrips { get; set; }

    public long Failures { get; set; }

    /// <summary>Since Redis answered last.</summary>
    public long FailuresInARow { get; set; }

    public bool IsAway { get; set; }

    public int Nodes { get; set; }

    public void Add(bool isGranted, bool byShare, int permits)
    {
        if (isGranted)
        {
            Leases++;
            Granted += byShare ? 0 : permits;
            GrantedByShare += byShare ? permits : 0;
        }
        else
        {
            Refusals++;
            Refused += byShare ? 0 : permits;
            RefusedByShare += byShare ? permits : 0;
        }
    }
}
