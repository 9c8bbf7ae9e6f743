namespace Resilience.Degrade;

/// <summary>
/// Follows the ratio of the long to the short response time: as long as they are alike the limit grows by a queue of four, when calls become slower it
/// falls. After Netflix's concurrency-limits (<c>Gradient2Limit</c>), with two of its traps closed: a drop counts (issue 176), and the long
/// average learns only downwards from windows in which the limit was reached, so it does not drift under a steady timeout (issue 137).
/// </summary>
/// <param name="initial">The limit at first; 20.</param>
/// <param name="minimum">The least; 4.</param>
/// <param name="maximum">The most; 1,000.</param>
public sealed class Gradient2Limit(int initial = 20, int minimum = 4, int maximum = 1_000) : IConcurrencyLimit
{
    private const double Tolerance = 1.5;
    private const double Smoothing = 0.2;
    private const int Queue = 4;
    private const double LongWindow = 600;
    private const double DropFactor = 0.9;

    private double _limit = Math.Clamp(initial, minimum, maximum);
    private double _longRtt;
    private int _samples;

    /// <inheritdoc/>
    public int Limit => (int)_limit;

    /// <inheritdoc/>
    public int Update(in LimitSample sample)
    {
        if (sample.Dropped)
        {
            _limit = Math.Max(minimum, _limit * DropFactor);
            return Limit;
        }

        Learn(sample);

        // A limit that is not used says nothing about whether it is right.
        if (sample.Inflight < _limit / 2)
        {
            return Limit;
        }

        double gradient = Math.Clamp(Tolerance * _longRtt / sample.RttMs, 0.5, 1.0);
        double next = (_limit * gradient) + Queue;
        _limit = Math.Clamp((_limit * (1 - Smoothing)) + (next * Smoothing), minimum, maximum);
        return Limit;
    }

    private void Learn(in LimitSample sample)
    {
        _samples++;
        double weight = _samples <= 10 ? 1.0 / _samples : 2 / (LongWindow + 1);
        bool isFull = _samples > 10 && sample.Inflight >= Limit;
        double rtt = isFull ? Math.Min(sample.RttMs, _longRtt) : sample.RttMs;
        _longRtt += weight * (rtt - _longRtt);

        // Once calls are fast again the memory of slow ones goes quickly.
        if (_longRtt / sample.RttMs > 2)
        {
            _longRtt *= 0.95;
        }
    }
}
