namespace Resilience.Redis.RateLimiting;

/// <summary>How many permits a node is asked for in a tenth of a second.</summary>
/// <remarks>Not thread-safe.</remarks>
internal sealed class Demand
{
    private const int Span = 100; // milliseconds

    private long _began;
    private int _spent;

    /// <summary>What was asked for in the last whole span; 0 after a quiet one.</summary>
    public int PerSpan { get; private set; }

    public void Add(int permits, long now)
    {
        long passed = now - _began;
        if (passed >= Span)
        {
            PerSpan = passed < 2 * Span ? (int)(_spent * Span / passed) : 0;
            _spent = 0;
            _began = now;
        }

        _spent += permits;
    }
}
