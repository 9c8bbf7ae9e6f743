namespace Resilience.Degrade.Tests.Simulation;

/// <summary>What came of it, within the measured span.</summary>
internal sealed record Outcome(double Goodput, double CriticalSuccess, double RefusedShare, long Refused, long Arrived, long Sent, IReadOnlyList<SimulatedTick> Ticks)
{
    public override string ToString() => FormattableString.Invariant($"goodput {Goodput:0.000} critical {CriticalSuccess:P1} refused {RefusedShare:P2}");
}

/// <summary>What the controller knew and did in one tick, and what had happened in it.</summary>
internal readonly record struct SimulatedTick(double At, bool Hot, double Cap, double MinRt, double MaxPass, int Inside, double Cpu, long Refused, double Pace, double Wait);
