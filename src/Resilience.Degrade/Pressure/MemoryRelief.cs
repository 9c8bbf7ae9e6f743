using Microsoft.Extensions.Logging;

namespace Resilience.Degrade;

/// <summary>
/// Keeps memory pressure from latching. Shedding stops the allocations that would make the collector run, so garbage can stay where it is and the
/// pressure with it: after a while without a fall one collection is asked for, at most one per interval. When that does not help either,
/// the process is said to be stuck: its health check fails, and shedding eases by one level rather than going on for ever.
/// </summary>
/// <remarks>Written by the sampling thread; <see cref="IsStuck"/> is read by anybody.</remarks>
internal sealed class MemoryRelief(ILogger logger, Action? collect = null)
{
    /// <summary>A fall by less than this is none.</summary>
    private const double Fall = 0.02;

    private readonly Action _collect = collect ?? (static () => GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: false));
    private volatile bool _isStuck;
    private long _pressedSince = long.MinValue;
    private long _collectedAt = long.MinValue;
    private double _lowest;
    private bool _collected;

    public bool IsStuck => _isStuck;

    public void Update(PressureLevel level, double value, long nowMs, PressureSettings settings)
    {
        if (level == PressureLevel.Normal)
        {
            _pressedSince = long.MinValue;
            _isStuck = false;
            return;
        }

        if (_pressedSince == long.MinValue || value < _lowest - Fall)
        {
            // It has begun to press, or it falls: give it time again.
            (_pressedSince, _lowest, _collected, _isStuck) = (nowMs, value, false, false);
            return;
        }

        if (nowMs - _pressedSince < (long)settings.ReliefAfter.TotalMilliseconds)
        {
            return;
        }

        if (!_collected && (_collectedAt == long.MinValue || nowMs - _collectedAt >= (long)settings.ReliefInterval.TotalMilliseconds))
        {
            DegradeLog.MemoryRelief(logger, value, settings.ReliefAfter);
            (_collected, _collectedAt, _pressedSince) = (true, nowMs, nowMs);
            _collect();
        }
        else if (!_isStuck)
        {
            _isStuck = true;
            DegradeLog.MemoryStuck(logger, value);
        }
    }
}
