namespace Resilience.Degrade.Tests.Simulation;

/// <summary>What is simulated.</summary>
internal sealed record Scenario
{
    public required int Cores { get; init; }

    public double CpuMs { get; init; } = 4;

    public double IoMs { get; init; } = 20;

    public double RefusalMs { get; init; } = 0.05;

    public double DeadlineMs { get; init; } = 1_000;

    public int Seed { get; init; } = 1;

    /// <summary>How long, in seconds.</summary>
    public double Seconds { get; init; } = 20;

    /// <summary>From when on goodput and successes count, in seconds.</summary>
    public double MeasureFrom { get; init; }

    public double MeasureTo { get; init; } = double.MaxValue;

    /// <summary>Arrivals per second, as a multiple of what the processors can do, over time in seconds.</summary>
    public Func<double, double> Load { get; init; } = static _ => 0.7;

    /// <summary>A factor on the input/output time over time in seconds.</summary>
    public Func<double, double> IoFactor { get; init; } = static _ => 1;

    /// <summary>A factor on the CPU time over time in seconds.</summary>
    public Func<double, double> CpuFactor { get; init; } = static _ => 1;

    /// <summary>Extra arrivals all at once: when, in seconds, and how many.</summary>
    public (double At, int Count)? Burst { get; init; }

    /// <summary>How often the whole process stops, in seconds, and for how many milliseconds.</summary>
    public (double Every, double Ms)? GcPause { get; init; }

    /// <summary>How many connections the input/output needs; unbounded when <see langword="null"/>.</summary>
    public int? Pool { get; init; }

    /// <summary>How often a client asks in all, 100 ms apart, when it is refused or answered too late.</summary>
    public int Attempts { get; init; } = 1;

    /// <summary>Makes the throttle of the clients for the clock of the simulation; none when <see langword="null"/>.</summary>
    public Func<TimeProvider, ClientThrottle>? Throttle { get; init; }

    /// <summary>Whether the clients tell their throttle what matters.</summary>
    public bool ThrottlesByPriority { get; init; } = true;

    /// <summary>
    /// The share of the processors that neighbours take, unseen in the process's own CPU time. Then the thread pool's queue is simulated too: a new item waits
    /// for all that want a processor.
    /// </summary>
    public double Stolen { get; init; }

    /// <summary>
    /// How many threads a pool has. Then arrivals wait in its queue before the door sees them, what a thread has begun it runs to its next wait, and what
    /// comes back from input/output goes first, as .NET's pool has it. Without it all that want a processor share them.
    /// </summary>
    public int? Threads { get; init; }

    public double CapacityPerSecond => Cores * (1 - Stolen) / CpuMs * 1_000;
}
