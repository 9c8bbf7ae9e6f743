using Resilience.Context;

namespace Resilience.Degrade.Tests.Simulation;

/// <summary>Counts what comes of the requests of a simulation within the measured span.</summary>
internal sealed class Tally(Scenario scenario)
{
    private readonly double _from = scenario.MeasureFrom * 1_000;

    // Whoever arrives in the last second may still be under way when the simulation ends.
    private readonly double _to = Math.Min(scenario.MeasureTo, scenario.Seconds - (scenario.DeadlineMs / 1_000)) * 1_000;
    private long _arrived;
    private long _sent;
    private long _refused;
    private long _critical;
    private long _criticalDone;
    private long _done;

    public void Arrived(double now, Priority priority)
    {
        if (IsMeasured(now))
        {
            _arrived++;
            _critical += priority == Priority.Critical ? 1 : 0;
        }
    }

    public void Sent(double now) => _sent += IsMeasured(now) ? 1 : 0;

    public void Refused(double now) => _refused += IsMeasured(now) ? 1 : 0;

    public void Succeeded(double now, double arrivedAt, Priority priority)
    {
        _done += IsMeasured(now) ? 1 : 0;
        _criticalDone += priority == Priority.Critical && IsMeasured(arrivedAt) ? 1 : 0;
    }

    public Outcome Result(List<SimulatedTick> ticks) => new(
        _done / (scenario.CapacityPerSecond * (_to - _from) / 1_000),
        _critical == 0 ? 1 : (double)_criticalDone / _critical,
        _arrived == 0 ? 0 : (double)_refused / _arrived,
        _refused,
        _arrived,
        _sent,
        ticks);

    private bool IsMeasured(double time) => time >= _from && time < _to;
}
