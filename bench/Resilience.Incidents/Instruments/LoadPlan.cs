namespace Resilience.Incidents.Instruments;

/// <summary>What load to offer: arrivals do not depend on answers (open loop), so a service that is slow does not slow its callers down.</summary>
internal sealed record LoadPlan
{
    /// <summary>Arrivals per second at a time since the start.</summary>
    public required Func<TimeSpan, double> Rate { get; init; }

    public required TimeSpan Duration { get; init; }

    /// <summary>How long a caller waits before it gives up; from then on its request is a failure, whatever becomes of it.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>The width of a window of the time series.</summary>
    public TimeSpan Window { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>How many kinds of request there are; each has its own figures.</summary>
    public int Lanes { get; init; } = 1;

    public static Func<TimeSpan, double> Constant(double perSecond) => _ => perSecond;
}
