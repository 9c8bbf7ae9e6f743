namespace Resilience.TestKit;

/// <summary>A stress run failed: a worker threw, a worker hung, or the invariants did not hold at the end.</summary>
public sealed class StressFailedException : Exception
{
    internal StressFailedException(string message, int seed, Exception? inner)
        : base($"{message} Replay with STRESS_SEED={seed}.", inner)
    {
        Seed = seed;
    }

    /// <summary>The seed of the run; give it as STRESS_SEED to draw the same random numbers again.</summary>
    public int Seed { get; }
}
