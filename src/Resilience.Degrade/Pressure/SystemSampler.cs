using Resilience.Context;

namespace Resilience.Degrade;

/// <summary>Reads memory, CPU, thread pool and garbage collector without allocating.</summary>
/// <remarks>Not thread-safe: the sampling thread's own. <see cref="Last"/> is for the signals, which that thread reads too.</remarks>
internal sealed class SystemSampler : IDisposable
{
    /// <summary>Limits of a container can change while it runs, but not often.</summary>
    private const long LimitsEveryMs = 5_000;

    private readonly ControlGroup _group;
    private readonly ThreadPoolCanary _canary;
    private readonly CoarseClock _clock;
    private readonly TimeProvider _time;
    private TimeSpan _cpu;
    private TimeSpan _pause;
    private long _timestamp;
    private long _limitsAt = long.MinValue;
    private double _cores;
    private long _heapLimit;

    public SystemSampler(string root, TimeProvider time)
    {
        _group = ControlGroup.Find(root);
        _time = time;
        _clock = new CoarseClock(time);
        _canary = new ThreadPoolCanary(_clock);
        _cpu = Environment.CpuUsage.TotalTime;
        _pause = GC.GetTotalPauseDuration();
        _timestamp = time.GetTimestamp();
        ReadLimits(_clock.Milliseconds);
    }

    public SystemSample Last { get; private set; }

    /// <summary>How many cores the process may use; a fraction under a quota.</summary>
    public double Cores => _cores;

    public SystemSample Sample()
    {
        long now = _clock.Milliseconds;
        if (now - _limitsAt >= LimitsEveryMs)
        {
            ReadLimits(now);
        }

        long timestamp = _time.GetTimestamp();
        double elapsed = Math.Max(0.001, _time.GetElapsedTime(_timestamp, timestamp).TotalMilliseconds);
        TimeSpan cpu = Environment.CpuUsage.TotalTime;
        TimeSpan pause = GC.GetTotalPauseDuration();
        var sample = new SystemSample(
            now,
            elapsed,
            Math.Clamp((cpu - _cpu).TotalMilliseconds / (elapsed * _cores), 0, 1),
            ReadMemory(),
            _canary.Read(),
            (pause - _pause).TotalMilliseconds);
        (_cpu, _pause, _timestamp) = (cpu, pause, timestamp);
        Last = sample;
        return sample;
    }

    public void Dispose() => _group.Dispose();

    private double ReadMemory()
    {
        double share = _heapLimit > 0 ? (double)GC.GetTotalMemory(forceFullCollection: false) / _heapLimit : 0;
        if (_group.TryReadMemory(out long used, out long limit))
        {
            share = Math.Max(share, (double)used / limit);
        }

        return Math.Min(share, 1);
    }

    private void ReadLimits(long now)
    {
        _limitsAt = now;
        _cores = _group.TryReadCores(out double cores) ? Math.Min(cores, Environment.ProcessorCount) : Environment.ProcessorCount;

        // Follows the heap's hard limit and the container's; it allocates, which is why it is read every few seconds only.
        _heapLimit = GC.GetGCMemoryInfo(GCKind.Any).TotalAvailableMemoryBytes;
    }
}
