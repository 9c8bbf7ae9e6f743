namespace Resilience.Pools;

/// <summary>
/// Tells a standing queue from a burst, the way of CoDel in the form of Maurer, "Fail at Scale" (ACM Queue 13, 8): a queue that has not
/// been empty for a whole interval stands. Not thread-safe.
/// </summary>
internal sealed class StandingQueue
{
    private long _lastEmpty = long.MinValue;

    /// <summary>Notes that the queue was empty.</summary>
    public void LastEmpty(long now) => _lastEmpty = now;

    public bool IsStanding(long now, long interval) => _lastEmpty != long.MinValue && now - _lastEmpty > interval;
}
