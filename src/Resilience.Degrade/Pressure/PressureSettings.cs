using Resilience.Settings;

namespace Resilience.Degrade;

/// <summary>The settings of sampling and of the signals, at <c>Resilience:Degrade:Pressure</c>.</summary>
public sealed class PressureSettings : ISettings
{
    /// <summary>How often signals are sampled; 100 ms by default, 10 ms to 10 s.</summary>
    [TimeRange("00:00:00.010", "00:00:10")]
    public TimeSpan SampleInterval { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>Memory in use, as a share of what the container or the heap may have; 0.80/0.72, 0.88/0.82, 0.94/0.90.</summary>
    public SignalSettings Memory { get; } = new() { RefusesRequests = true };

    /// <summary>CPU in use, as a share of the container's quota; 0.85/0.75, 0.93/0.85, 0.98/0.92, entered after 2 s.</summary>
    public SignalSettings Cpu { get; } = new(0.85, 0.75, 0.93, 0.85, 0.98, 0.92) { EnterFor = TimeSpan.FromSeconds(2) };

    /// <summary>How long a new work item waits for a thread of the pool, in seconds; 0.1/0.05, 0.5/0.2, 2/0.5.</summary>
    public SignalSettings ThreadPool { get; } = new(0.1, 0.05, 0.5, 0.2, 2, 0.5);

    /// <summary>Thresholds of other signals by name; a colon in a signal's name is written as a dot here. Shares by default: 0.80/0.72, 0.88/0.82, 0.94/0.90.</summary>
    public SettingsMap<SignalSettings> Signals { get; } = [];

    /// <summary>
    /// For how long memory may press without falling before one garbage collection is asked for, and for how long after that before the process
    /// reports itself unhealthy; 10 s by default, 1 s to 10 min.
    /// </summary>
    [TimeRange("00:00:01", "00:10:00")]
    public TimeSpan ReliefAfter { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>The least time between two garbage collections that are asked for; 5 min by default, 10 s to 1 day.</summary>
    [TimeRange("00:00:10", "1.00:00:00")]
    public TimeSpan ReliefInterval { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>A directory that stands for <c>/</c> where control groups are read; <c>/</c> by default. For tests; read at start.</summary>
    public string SystemRoot { get; set; } = "/";

    internal SignalSettings For(string signal) => signal switch
    {
        SystemSignals.Memory => Memory,
        SystemSignals.Cpu => Cpu,
        SystemSignals.ThreadPool => ThreadPool,
        _ => Signals.TryGetValue(signal.Replace(':', '.'), out SignalSettings? own) ? own : new SignalSettings(),
    };
}
