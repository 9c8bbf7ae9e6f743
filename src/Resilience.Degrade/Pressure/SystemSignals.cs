namespace Resilience.Degrade;

/// <summary>The names of the signals that <c>AddSystemSignals()</c> adds.</summary>
public static class SystemSignals
{
    /// <summary>Memory in use: the greater of container memory without reclaimable file cache over its limit, and heap over what it may have. 0 to 1.</summary>
    public const string Memory = "memory";

    /// <summary>CPU in use over the container's quota, or over all cores, smoothed over half a second. 0 to 1.</summary>
    public const string Cpu = "cpu";

    /// <summary>How long a new work item waits for a thread of the pool, in seconds.</summary>
    public const string ThreadPool = "threadpool";
}

/// <summary>A signal made of a name and a function.</summary>
internal sealed class DelegateSignal(string name, Func<double> read) : IPressureSignal
{
    public string Name => name;

    public double Read() => read();
}

/// <summary>CPU, smoothed: one tick of 100 ms at full load is no pressure.</summary>
internal sealed class CpuSignal(SystemSampler sampler) : IPressureSignal
{
    private const double Weight = 0.3;

    private double _average;

    public string Name => SystemSignals.Cpu;

    public double Read() => _average += Weight * (sampler.Last.Cpu - _average);
}
/// <summary>Memory as the sampler saw it.</summary>
internal sealed class MemorySignal(SystemSampler sampler) : IPressureSignal
{
    public string Name => SystemSignals.Memory;

    public double Read() => sampler.Last.Memory;
}

/// <summary>The wait for a thread of the pool, in seconds.</summary>
internal sealed class ThreadPoolSignal(SystemSampler sampler) : IPressureSignal
{
    public string Name => SystemSignals.ThreadPool;

    public double Read() => sampler.Last.QueueWaitMs / 1000;
}
