using System.Diagnostics;

namespace Resilience.Redis.Tests;

/// <summary>How late the machine itself is: the worst delay of a loop that does nothing else. A bound on time means something only beside it.</summary>
internal sealed class StallMeter : IDisposable
{
    private readonly CancellationTokenSource _ending = new();
    private long _worst;

    private StallMeter()
    {
    }

    public TimeSpan Worst => TimeSpan.FromTicks(Volatile.Read(ref _worst));

    public static StallMeter Start()
    {
        var meter = new StallMeter();
        _ = Task.Run(meter.RunAsync);
        return meter;
    }

    public void Dispose()
    {
        _ending.Cancel();
        _ending.Dispose();
    }

    private async Task RunAsync()
    {
        while (!_ending.IsCancellationRequested)
        {
            long began = Stopwatch.GetTimestamp();
            await Task.Delay(5, CancellationToken.None);
            long late = Stopwatch.GetElapsedTime(began).Ticks - TimeSpan.FromMilliseconds(5).Ticks;
            Volatile.Write(ref _worst, Math.Max(late, _worst));
        }
    }
}
