using System.Runtime.InteropServices;
using Resilience.Context;

namespace Resilience.Degrade;

/// <summary>What came of asking for admission.</summary>
public enum AdmissionResult
{
    /// <summary>Come in.</summary>
    Admitted = 0,

    /// <summary>As many are inside as may be for this priority.</summary>
    RefusedByLoad = 1,

    /// <summary>A signal, such as memory, presses too hard for this priority.</summary>
    RefusedByPressure = 2,
}

/// <summary>How work that was admitted has ended.</summary>
public enum AdmissionOutcome
{
    /// <summary>It was done: its time and number teach the controller.</summary>
    Success = 0,

    /// <summary>It failed, was cancelled or answered from a fallback: it teaches nothing.</summary>
    Ignore = 1,
}

/// <summary>Given with an admission, to be handed back with <see cref="AdmissionController.Leave"/> exactly once.</summary>
[StructLayout(LayoutKind.Auto)]
public readonly struct AdmissionTicket
{
    internal AdmissionTicket(long enteredAt, Priority priority, bool isSpared)
    {
        EnteredAt = enteredAt;
        IsCounted = true;
        Priority = priority;
        IsSpared = isSpared;
    }

    internal long EnteredAt { get; }

    internal Priority Priority { get; }

    internal bool IsCounted { get; }

    /// <summary>Whether it was counted as refused and let in all the same, by a dry run.</summary>
    internal bool IsSpared { get; }
}
