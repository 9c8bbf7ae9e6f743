namespace Resilience.TestKit;

/// <summary>One worker of a stress run, and what an iteration may draw on. Belongs to its worker alone, save <see cref="IsStopping"/>.</summary>
public sealed class StressWorker
{
    private readonly Func<bool> _stopping;

    internal StressWorker(int index, Random random, Func<bool> stopping)
    {
        Index = index;
        Random = random;
        _stopping = stopping;
    }

    /// <summary>The worker's number, from zero.</summary>
    public int Index { get; }

    /// <summary>This worker's own source of randomness, derived from the run's seed.</summary>
    public Random Random { get; }

    /// <summary>The number of the iteration that runs now, from zero.</summary>
    public long Iteration { get; internal set; }

    /// <summary>Whether the run is ending; long iterations look at it. Thread-safe.</summary>
    public bool IsStopping => _stopping();

    internal bool IsDone { get; set; }
}
