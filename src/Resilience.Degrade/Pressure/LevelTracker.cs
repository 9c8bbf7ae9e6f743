namespace Resilience.Degrade;

/// <summary>
/// Turns the values of one signal into a level. Each threshold is a switch of its own with hysteresis and dwell: on when the value has been at or
/// above its enter value for EnterFor and two samples, off when it has been below its exit value for ExitFor. The level is the highest switch that
/// is on, but falls one step per ExitFor at the most.
/// </summary>
/// <remarks>
/// Because the switches do not depend on one another, levels are monotone: a signal that is nowhere below another never has a lower level.
/// Not thread-safe: the sampling thread's own.
/// </remarks>
internal sealed class LevelTracker
{
    private const long Never = long.MinValue;

    private readonly Switch[] _switches = [new(), new(), new()];
    private long _fellAt = Never;

    public PressureLevel Level { get; private set; }

    public PressureLevel Update(double value, long nowMs, SignalSettings settings)
    {
        if (double.IsNaN(value))
        {
            return Level;
        }

        long enterFor = (long)settings.EnterFor.TotalMilliseconds;
        long exitFor = (long)settings.ExitFor.TotalMilliseconds;
        _switches[0].Update(value, settings.Enter, settings.Exit, nowMs, enterFor, exitFor);
        _switches[1].Update(value, settings.HighEnter, settings.HighExit, nowMs, enterFor, exitFor);
        _switches[2].Update(value, settings.CriticalEnter, settings.CriticalExit, nowMs, enterFor, exitFor);
        PressureLevel raw = _switches[2].IsOn ? PressureLevel.Critical : _switches[1].IsOn ? PressureLevel.High : _switches[0].IsOn ? PressureLevel.Elevated : PressureLevel.Normal;
        if (raw > Level)
        {
            Level = raw;
            _fellAt = Never;
        }
        else if (raw < Level && (_fellAt == Never || nowMs - _fellAt >= exitFor))
        {
            Level--;
            _fellAt = nowMs;
        }

        return Level;
    }

    private sealed class Switch
    {
        private long _aboveSince = Never;
        private long _belowSince = Never;
        private int _samplesAbove;

        public bool IsOn { get; private set; }

        public void Update(double value, double enter, double exit, long now, long enterFor, long exitFor)
        {
            if (value >= enter)
            {
                _aboveSince = _aboveSince == Never ? now : _aboveSince;
                _samplesAbove = Math.Min(_samplesAbove + 1, 2);
            }
            else
            {
                _aboveSince = Never;
                _samplesAbove = 0;
            }

            _belowSince = value >= exit ? Never : _belowSince == Never ? now : _belowSince;
            if (!IsOn && _aboveSince != Never && _samplesAbove >= 2 && now - _aboveSince >= enterFor)
            {
                IsOn = true;
            }
            else if (IsOn && _belowSince != Never && now - _belowSince >= exitFor)
            {
                IsOn = false;
            }
        }
    }
}
