using Resilience.Degrade;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>What presses on the process.</summary>
internal sealed class PressurePanel(PressureMonitor? monitor = null) : IDashboardPanel
{
    public string Area => "pressure";

    public DashboardSnapshot Read(DashboardSnapshot snapshot)
    {
        if (monitor is null || monitor.Values is not { Count: > 0 } values)
        {
            return snapshot;
        }

        return snapshot with
        {
            Pressure = new PressureFigures
            {
                Level = monitor.Level,
                Loudest = monitor.Loudest,
                LateBySeconds = monitor.LateBy.TotalSeconds,
                IsMemoryStuck = monitor.IsMemoryStuck,
                Signals = [.. values.Select(signal => new SignalFigures(signal.Signal, signal.Value, signal.Level))],
            },
        };
    }
}
