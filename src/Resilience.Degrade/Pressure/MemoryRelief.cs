using Microsoft.Extensions.Logging;

namespace Resilience.Degrade;

/// <summary>
/// Keeps memory pressure from latching. Shedding stops the allocations that would make the collector run, so garbage can stay where it is and the
/// pressure with it: after a while without a fall one collection is asked for, at most one per interval. When that does not help either, the
/// process is said to be stuck: its health check fails, and shedding eases by one level after another rather than going on for ever. Should memory
/// grow again meanwhile, shedding is whole again.
/// </summary>
/// <remarks>Written by the sampling thread; <see cref="IsStuck"/> is read by anybody.</remarks>
internal sealed class MemoryRelief(ILogger logger, Action? collect = null)
{
    /// <summary>A fall or a rise by less than this is none.</summary>
    private const double Change = 0.02;

    private readonly Action _collect = collect ?? (static () => GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: false));
    private volatile bool _isStuck;
    private long _steadySince = long.MinValue;
    private long _collectedAt = long.MinValue;
    private double _plateau;

    public bool IsStuck => _isStuck;

    /// <summary>By how many levels shedding has eased.</summary>
    public int EasedBy { get; private set; }

    public void Update(PressureLevel level, double value, long nowMs, PressureSettings settings)
    {
        if (level == PressureLevel.Normal)
        {
            (_steadySince, _isStuck, EasedBy) = (long.MinValue, false, 0);
            return;
        }

        if (_steadySince == long.MinValue || value < _plateau - Change)
        {
            // It has begun to press, or it falls: give it time again.
            (_steadySince, _plateau, _isStuck, EasedBy) = (nowMs, value, false, 0);
            return;
        }

        if (value > _plateau + Change)
        {
            // It grows, perhaps because shedding has eased. That it was stuck remains true.
            (_steadySince, _plateau, EasedBy) = (nowMs, value, 0);
            return;
        }

        if (nowMs - _steadySince < (long)settings.ReliefAfter.TotalMilliseconds)
        {
            return;
        }

        _steadySince = nowMs;
        if (_collectedAt == long.MinValue || nowMs - _collectedAt >= (long)settings.ReliefInterval.TotalMilliseconds)
        {
            _collectedAt = nowMs;
            DegradeLog.MemoryRelief(logger, value, settings.ReliefAfter);
            _collect();
            return;
        }

        EasedBy = Math.Min(EasedBy + 1, (int)PressureLevel.Critical);
        if (!_isStuck)
        {
            _isStuck = true;
            DegradeLog.MemoryStuck(logger, value);
        }
    }
}
