namespace Resilience.Degrade;

/// <summary>
/// Estimates the queue at the other side from how much slower calls are than the fastest ever seen, and keeps it short. After TCP Vegas as in Netflix's
/// concurrency-limits. The fastest is forgotten slowly rather than probed anew, because a probe under load would adopt a loaded time.
/// </summary>
/// <param name="initial">The limit at first; 20.</param>
/// <param name="minimum">The least; 1.</param>
/// <param name="maximum">The most; 1,000.</param>
public sealed class VegasLimit(int initial = 20, int minimum = 1, int maximum = 1_000) : IConcurrencyLimit
{
    private const double Forget = 1.0005;

    private double _limit = Math.Clamp(initial, minimum, maximum);
    private double _minRtt;

    /// <inheritdoc/>
    public int Limit => (int)_limit;

    /// <inheritdoc/>
    public int Update(in LimitSample sample)
    {
        _minRtt = _minRtt == 0 ? sample.MinRttMs : Math.Min(_minRtt * Forget, sample.MinRttMs);
        double log = Math.Max(1, Math.Log10(_limit));
        if (sample.Dropped)
        {
            _limit = Math.Max(minimum, _limit - log);
            return Limit;
        }

        if (sample.Inflight * 2 < _limit)
        {
            return Limit;
        }

        double queue = Math.Ceiling(_limit * (1 - (_minRtt / sample.RttMs)));
        double next = queue <= log ? _limit + (6 * log)
            : queue < 3 * log ? _limit + log
            : queue > 6 * log ? _limit - log
            : _limit;
        _limit = Math.Clamp(next, minimum, maximum);
        return Limit;
    }
}
