using System.Runtime.InteropServices;

namespace Resilience.Degrade;

/// <summary>What one window of calls looked like.</summary>
/// <param name="RttMs">The mean time of a call, in milliseconds.</param>
/// <param name="MinRttMs">The shortest, in milliseconds.</param>
/// <param name="Inflight">The most calls that were under way at once.</param>
/// <param name="Dropped">Whether one was refused or timed out for load.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct LimitSample(double RttMs, double MinRttMs, int Inflight, bool Dropped);

/// <summary>The maths of a concurrency limit: a window of calls goes in, a limit comes out.</summary>
/// <remarks>Implementations need not be thread-safe: the limiter calls them one at a time.</remarks>
public interface IConcurrencyLimit
{
    /// <summary>The limit at the moment, at least 1.</summary>
    int Limit { get; }

    /// <summary>Takes one window and gives the new limit.</summary>
    /// <param name="sample">The window.</param>
    int Update(in LimitSample sample);
}
