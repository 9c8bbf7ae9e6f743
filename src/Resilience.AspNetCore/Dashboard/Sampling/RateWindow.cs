namespace Resilience.AspNetCore.Dashboard;

/// <summary>
/// Turns counters that only grow into rates over the last ten seconds, or over as long as has been watched. Not thread-safe: the sampler's own.
/// </summary>
/// <param name="time">The clock.</param>
internal sealed class RateWindow(TimeProvider time)
{
    private static readonly TimeSpan Length = TimeSpan.FromSeconds(10);

    private readonly Queue<(long At, long[] Counts)> _readings = new();

    /// <summary>Takes a reading.</summary>
    /// <param name="counts">The counters, always in the same order.</param>
    /// <returns>By how much each has grown per second; zeros for the first reading.</returns>
    public double[] PerSecond(params long[] counts)
    {
        long now = time.GetTimestamp();

        // The reading before the window stays: rates are then over a little more than the window, never over less.
        while (_readings.Count > 1 && time.GetElapsedTime(_readings.ElementAt(1).At, now) >= Length)
        {
            _readings.Dequeue();
        }

        _readings.Enqueue((now, counts));
        (long since, long[] first) = _readings.Peek();
        double seconds = time.GetElapsedTime(since, now).TotalSeconds;
        return [.. counts.Select((count, index) => seconds > 0 ? Math.Max(0, count - first[index]) / seconds : 0)];
    }
}
