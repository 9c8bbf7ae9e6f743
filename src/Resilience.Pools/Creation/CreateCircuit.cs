namespace Resilience.Pools;

/// <summary>
/// Decides when resources may be created: freely while creations succeed; after a failure one at a time, with growing jittered pauses;
/// and after so many failures it says that the backend is down. Every attempt after a failure is the probe that may end it. Not
/// thread-safe: the pool's lock guards it.
/// </summary>
internal sealed class CreateCircuit
{
    private readonly Random _random;

    public CreateCircuit(int seed) => _random = new Random(seed);

    public int Failures { get; private set; }

    public Exception? LastFailure { get; private set; }

    /// <summary>No attempt before this, in milliseconds of the pool's clock.</summary>
    public long RetryAt { get; private set; } = long.MinValue;

    public PoolBackendState State { get; private set; }

    /// <summary>Which round of attempts is running: those that started together and fail together count as one failure.</summary>
    public int Round { get; private set; }

    /// <summary>How many attempts may run at once at this moment.</summary>
    public int Allowed(long now, PoolOptions options) =>
        Failures == 0 ? options.MaxConcurrentCreates : now >= RetryAt ? 1 : 0;

    /// <summary>Notes a success.</summary>
    /// <returns>Whether it ended an outage.</returns>
    public bool Succeeded()
    {
        bool wasDown = State == PoolBackendState.Down;
        Failures = 0;
        LastFailure = null;
        RetryAt = long.MinValue;
        State = PoolBackendState.Up;
        return wasDown;
    }

    /// <summary>Notes a failure.</summary>
    /// <param name="exception">What the attempt ended with.</param>
    /// <param name="round">The round in which the attempt began.</param>
    /// <param name="now">The pool's clock.</param>
    /// <param name="options">The pool's settings.</param>
    /// <returns>Whether the backend counts as down from now on, and did not before.</returns>
    public bool Failed(Exception exception, int round, long now, PoolOptions options)
    {
        LastFailure = exception;
        if (round != Round)
        {
            return false;
        }

        Round++;
        Failures++;
        RetryAt = now + (long)Math.Ceiling(Backoff(Failures, options.CreateBackoff.TotalMilliseconds, options.MaxCreateBackoff.TotalMilliseconds, _random.NextDouble()));
        bool opens = State != PoolBackendState.Down && Failures >= options.BreakAfter;
        State = opens || State == PoolBackendState.Down ? PoolBackendState.Down : PoolBackendState.Failing;
        return opens;
    }

    /// <summary>The pause after so many failures: doubling from the first to the longest, of which a random half is taken off.</summary>
    /// <param name="failures">From 1.</param>
    /// <param name="first">The pause after the first failure.</param>
    /// <param name="longest">The longest pause.</param>
    /// <param name="random">From 0 to below 1.</param>
    internal static double Backoff(int failures, double first, double longest, double random)
    {
        double full = Math.Min(longest, first * Math.Pow(2, Math.Min(failures - 1, 30)));
        return full * (1 - (random / 2));
    }
}
