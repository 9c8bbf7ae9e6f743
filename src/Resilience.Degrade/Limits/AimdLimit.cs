namespace Resilience.Degrade;

/// <summary>Adds one while all is well, and takes a tenth off after a drop or when calls are slower than a bound. Needs drops or that bound to work.</summary>
/// <param name="initial">The limit at first; 20.</param>
/// <param name="minimum">The least; 1.</param>
/// <param name="maximum">The most; 200.</param>
/// <param name="slowMs">From when on a window counts as a drop, in milliseconds; 5,000.</param>
/// <param name="backoff">What is left of the limit after a drop; 0.9.</param>
public sealed class AimdLimit(int initial = 20, int minimum = 1, int maximum = 200, double slowMs = 5_000, double backoff = 0.9) : IConcurrencyLimit
{
    private int _limit = Math.Clamp(initial, minimum, maximum);

    /// <inheritdoc/>
    public int Limit => _limit;

    /// <inheritdoc/>
    public int Update(in LimitSample sample)
    {
        int next = sample.Dropped || sample.RttMs > slowMs ? (int)(_limit * backoff)
            : sample.Inflight * 2 >= _limit ? _limit + 1
            : _limit;
        return _limit = Math.Clamp(next, minimum, maximum);
    }
}
