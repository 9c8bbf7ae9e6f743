namespace Resilience.Benchmarks.Harness;

/// <summary>What one batch of operations took.</summary>
/// <param name="WallSeconds">From the first thread's start to the last one's end, in seconds.</param>
/// <param name="CpuSeconds">Processor time of the threads that ran it, in seconds.</param>
/// <param name="Bytes">What was allocated, in bytes.</param>
/// <param name="Operations">How many operations it had, over all threads.</param>
/// <param name="Disturbed">Whether its threads were kept from running for a good part of the time, so that it tells of the machine.</param>
internal readonly record struct Batch(double WallSeconds, double CpuSeconds, long Bytes, long Operations, bool Disturbed);
