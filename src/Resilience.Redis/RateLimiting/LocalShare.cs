namespace Resilience.Redis.RateLimiting;

/// <summary>
/// A node's share of the limit: a token bucket by its own clock. It is charged with everything that the node spends, whoever granted it, so that an
/// outage does not give the node a second burst on top of the one it has just had.
/// </summary>
/// <remarks>Not thread-safe.</remarks>
internal sealed class LocalShare(RedisRateLimiterOptions options, long now)
{
    /// <summary>The longest wait that is told, a hundred years in seconds: a slow limit split among many nodes may owe more than a time can hold.</summary>
    private const double LongestWait = 100.0 * 365 * 24 * 3600;

    private double _tokens = Math.Max(1, (double)options.Burst / options.ExpectedNodes);
    private long _filledAt = now;

    /// <summary>Tokens at the moment.</summary>
    public double Tokens => _tokens;

    /// <summary>Takes permits, if they are there. More than the share ever holds are given when it is full, and owed.</summary>
    /// <returns>Zero when they were taken; else after what time they will be there.</returns>
    public TimeSpan TryTake(RedisRateLimiterOptions settings, int nodes, int permits, long now)
    {
        double rate = settings.PermitsPerSecond / nodes;
        double capacity = Fill(settings, nodes, now);
        double wanted = Math.Min(permits, capacity);
        if (_tokens + 1e-6 >= wanted)
        {
            _tokens -= permits;
            return TimeSpan.Zero;
        }

        return TimeSpan.FromSeconds(Math.Clamp((wanted - _tokens) / rate, 0.001, LongestWait));
    }

    /// <summary>Takes note of permits that were granted elsewhere: as many as the share still has.</summary>
    public void Charge(RedisRateLimiterOptions settings, int nodes, int permits, long now)
    {
        Fill(settings, nodes, now);
        _tokens = Math.Min(_tokens, Math.Max(0, _tokens - permits));
    }

    private double Fill(RedisRateLimiterOptions settings, int nodes, long now)
    {
        double capacity = Math.Max(1, (double)settings.Burst / nodes);
        _tokens = Math.Min(capacity, _tokens + (settings.PermitsPerSecond / nodes * (now - _filledAt) / 1000));
        _filledAt = now;
        return capacity;
    }
}
