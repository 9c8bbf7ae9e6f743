using Microsoft.Extensions.DependencyInjection;

namespace Resilience.Degrade.Tests.Pressure;

public sealed class PressureReloadTests
{
    private const string PressesAll = "Pressure:Signals:queue.reload:PressesAll";

    private long _now;

    /// <summary>The signal goes on as it is: nothing but the settings has changed.</summary>
    [Fact]
    public async Task Reload_SignalPressesOnAllNoMore_ThePressureFallsWithIt()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { [PressesAll] = "true" }, static builder => builder.AddSignal("queue:reload", static () => 0.99), samples: false);
        PressureMonitor monitor = host.Services.GetRequiredService<PressureMonitor>();
        Run(monitor);
        Assert.Equal(PressureLevel.Critical, monitor.Level);
        host.Reload(new() { [PressesAll] = "false" });
        Run(monitor);
        Assert.Equal((PressureLevel.Normal, PressureLevel.Critical), (monitor.Level, monitor.LevelOf("queue:reload")));
        host.Reload(new() { [PressesAll] = "true" });
        Run(monitor);
        Assert.Equal(PressureLevel.Critical, monitor.Level);
    }

    private void Run(PressureMonitor monitor)
    {
        for (int i = 0; i < 10; i++)
        {
            monitor.Tick(new SystemSample(_now += 100, 100, 0, 0, 0, 0));
        }
    }
}
