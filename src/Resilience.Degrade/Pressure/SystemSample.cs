using System.Runtime.InteropServices;

namespace Resilience.Degrade;

/// <summary>What the process looked like over one tick of the sampling thread.</summary>
/// <param name="NowMs">The coarse clock.</param>
/// <param name="ElapsedMs">How long the tick was.</param>
/// <param name="Cpu">CPU in use as a share of what the process may use; 0 to 1.</param>
/// <param name="Memory">Memory in use as a share of what it may use; 0 to 1.</param>
/// <param name="QueueWaitMs">How long the thread pool lets a work item wait.</param>
/// <param name="GcPauseMs">How long garbage collections stopped the process.</param>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct SystemSample(long NowMs, double ElapsedMs, double Cpu, double Memory, double QueueWaitMs, double GcPauseMs);
