namespace Resilience.Pools;

/// <summary>What became of everything that a batch writer ever accepted: the three add up to what was accepted.</summary>
/// <param name="Written">Items that the sink took.</param>
/// <param name="Abandoned">Items that could not be written and were handed to the abandon callback.</param>
/// <param name="Dropped">Accepted items that made room for newer ones (<see cref="BatchFullMode.DropOldest"/>).</param>
public sealed record BatchDrainResult(long Written, long Abandoned, long Dropped);
