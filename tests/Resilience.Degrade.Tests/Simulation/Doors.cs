using Resilience.Context;

namespace Resilience.Degrade.Tests.Simulation;

/// <summary>The door of the simulated service.</summary>
internal interface IDoor
{
    bool Admit(Priority priority, int inside, int criticalInside);

    void Tick(in SystemSample sample, double queueWaitMs, long passed, double rtSumMs, long refused);

    void Done(double rtMs, int inside, bool inTime)
    {
    }
}

/// <summary>The controller of the package behind the simulated door.</summary>
/// <param name="cores">How many cores there are.</param>
/// <param name="paces">Whether the bound on the rate is used.</param>
internal sealed class HybridDoor(int cores, bool paces = true) : IDoor
{
    private readonly AdmissionPace _pace = new();
    private readonly AdmissionSettings _settings = new();

    public HybridLimit Limit { get; } = new(cores);

    public bool Admit(Priority priority, int inside, int criticalInside)
    {
        bool enters = (!_pace.IsOn || _pace.Allows(priority)) && (inside < Limit.For(priority) || (priority == Priority.Critical && criticalInside < Limit.CriticalLane));
        if (enters && _pace.IsOn)
        {
            _pace.Take();
        }

        return enters;
    }

    public void Tick(in SystemSample sample, double queueWaitMs, long passed, double rtSumMs, long refused)
    {
        Limit.Tick(sample, queueWaitMs, passed, rtSumMs, refused, _settings, cores);
        _pace.Refill(paces ? Limit.Pace : double.PositiveInfinity, Limit.PaceShare, sample.ElapsedMs);
    }
}

/// <summary>No controller at all: what the others are measured against.</summary>
internal sealed class OpenDoor : IDoor
{
    public bool Admit(Priority priority, int inside, int criticalInside) => true;

    public void Tick(in SystemSample sample, double queueWaitMs, long passed, double rtSumMs, long refused)
    {
    }
}

/// <summary>Gradient2 at the door, as a server would use it: one limit for all, a window of a second, refusals by number alone.</summary>
/// <param name="initial">The limit at first.</param>
/// <param name="maximum">The greatest limit.</param>
internal sealed class Gradient2Door(int initial = 20, int maximum = 200) : IDoor
{
    private const int TicksPerWindow = 10;

    private readonly Gradient2Limit _limit = new(initial, 4, maximum);
    private double _rtSum;
    private double _rtMin = double.MaxValue;
    private int _count;
    private int _mostInside;
    private bool _dropped;
    private int _ticks;

    public bool Admit(Priority priority, int inside, int criticalInside) => inside < _limit.Limit;

    public void Done(double rtMs, int inside, bool inTime)
    {
        _count++;
        _rtSum += rtMs;
        _rtMin = Math.Min(_rtMin, rtMs);
        _mostInside = Math.Max(_mostInside, inside + 1);
        _dropped |= !inTime;
    }

    public void Tick(in SystemSample sample, double queueWaitMs, long passed, double rtSumMs, long refused)
    {
        if (++_ticks % TicksPerWindow == 0 && _count >= 10)
        {
            _limit.Update(new LimitSample(_rtSum / _count, _rtMin, _mostInside, _dropped));
            (_rtSum, _rtMin, _count, _mostInside, _dropped) = (0, double.MaxValue, 0, 0, false);
        }
    }
}
