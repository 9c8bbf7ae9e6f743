using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Logging.Abstractions;
using Resilience.Context;
using Resilience.TestKit;

namespace Resilience.Degrade.Tests.Pressure;

public sealed class PressureMonitorTests
{
    private static readonly Feature Low = Feature.Declare("p-low", Priority.Low);
    private static readonly Feature Normal = Feature.Declare("p-normal", Priority.Normal);
    private static readonly Feature Critical = Feature.Declare("p-critical", Priority.Critical);
    private static readonly Feature Triggered = Feature.Declare("p-triggered", Priority.Low);

    private long _now;

    [Fact]
    public async Task Tick_SignalPresses_FeaturesGiveWayByPriority()
    {
        double value = 0;
        await using DegradeHost host = await StartAsync(() => value);
        Assert.Equal((FeatureState.Normal, FeatureState.Normal, FeatureState.Normal), States(host));
        value = 0.82;
        Run(host, 1_000);
        Assert.Equal((FeatureState.Degraded, FeatureState.Normal, FeatureState.Normal), States(host));
        FeatureDecision decision = host.Degradation.Decide(Low);
        Assert.Equal((DecisionSource.Automatic, "queue:test is Elevated"), (decision.Source, decision.Reason));
        value = 0.90;
        Run(host, 1_000);
        Assert.Equal((FeatureState.Off, FeatureState.Degraded, FeatureState.Normal), States(host));
        value = 0.99;
        Run(host, 1_000);
        Assert.Equal((FeatureState.Off, FeatureState.Off, FeatureState.Normal), States(host));
        value = 0;
        Run(host, 40_000);
        Assert.Equal((FeatureState.Normal, FeatureState.Normal, FeatureState.Normal), States(host));
    }

    [Fact]
    public async Task Tick_FeatureWithTriggers_FollowsThemAlone()
    {
        double value = 0.99;
        double own = 0;
        await using DegradeHost host = await StartAsync(
            () => value,
            builder => builder.AddSignal("circuit:own", () => own),
            new() { ["MaxAutomaticOff"] = "1000", ["Features:p-triggered:Triggers:0"] = "circuit:own" });
        Run(host, 1_000);
        Assert.Equal(FeatureState.Normal, host.Degradation.StateOf(Triggered));
        own = 0.9;
        Run(host, 1_000);
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Triggered));
    }

    [Fact]
    public async Task Tick_MoreThanMaxAutomaticOff_TheLeastImportantGoFirst()
    {
        double value = 0.99;
        Dictionary<string, string?> settings = new() { ["MaxAutomaticOff"] = "0", ["Pressure:Signals:queue.test:PressesAll"] = "false" }; // or features that other tests declare meanwhile would be spared too
        foreach (Feature feature in new[] { Low, Normal, Critical })
        {
            settings[$"Features:{feature.Name}:Triggers:0"] = "queue:test";
        }

        await using DegradeHost host = await StartAsync(() => value, null, settings);
        Run(host, 1_000);
        Assert.Equal((FeatureState.Degraded, FeatureState.Degraded, FeatureState.Normal), States(host));
        Assert.Single(host.Logs.WithId(4006));
    }

    [Fact]
    public async Task Tick_SignalThrows_IsLoggedOnceAndTheLevelStays()
    {
        double value = 0.99;
        await using DegradeHost host = await StartAsync(() => value < 0 ? throw new InvalidOperationException() : value);
        Run(host, 1_000);
        Assert.Equal(PressureLevel.Critical, Monitor(host).Level);
        value = -1;
        Run(host, 60_000);
        Assert.Equal(PressureLevel.Critical, Monitor(host).Level);
        Assert.Single(host.Logs.WithId(4021));
    }

    [Fact]
    public async Task Reload_Thresholds_HoldAtTheNextSample()
    {
        double value = 0.5;
        await using DegradeHost host = await StartAsync(() => value);
        Run(host, 1_000);
        Assert.Equal(PressureLevel.Normal, Monitor(host).Level);
        host.Reload(new() { ["Pressure:Signals:queue.test:Enter"] = "0.4", ["Pressure:Signals:queue.test:Exit"] = "0.3" });
        Run(host, 1_000);
        Assert.Equal(PressureLevel.Elevated, Monitor(host).Level);
    }

    [Fact]
    public async Task Tick_NothingChanges_AllocatesNothing()
    {
        await using DegradeHost host = await StartAsync(() => 0.5, builder => builder.AddSystemSignals().AddAdmission());
        PressureMonitor monitor = Monitor(host);
        SystemSampler sampler = host.Services.GetRequiredService<SystemSampler>();
        AllocationAssert.AtMost(0, () =>
        {
            SystemSample sample = sampler.Last with { NowMs = 0 };
            monitor.Tick(sample);
        });
        using var real = new SystemSampler("/", TimeProvider.System);
        real.Sample();
        AllocationAssert.AtMost(1, () => _ = real.Sample()); // the limits, every five seconds
    }

    [Fact]
    public void Relief_MemoryDoesNotFall_OneCollectionThenStuckThenFreeAgain()
    {
        int collections = 0;
        var settings = new PressureSettings();
        var relief = new MemoryRelief(NullLogger.Instance, () => collections++);
        for (long now = 0; now < 60_000; now += 100)
        {
            relief.Update(PressureLevel.High, 0.9, now, settings);
            Assert.Equal(now >= 10_000 ? 1 : 0, collections);
            Assert.Equal(now >= 20_000, relief.IsStuck);
        }

        relief.Update(PressureLevel.Normal, 0.5, 60_000, settings);
        Assert.False(relief.IsStuck);
    }

    [Fact]
    public void Relief_MemoryFalls_NoCollection()
    {
        int collections = 0;
        var relief = new MemoryRelief(NullLogger.Instance, () => collections++);
        for (long now = 0; now < 30_000; now += 100)
        {
            relief.Update(PressureLevel.High, 0.95 - (now / 1_000_000.0 * 5), now, new PressureSettings());
        }

        Assert.Equal(0, collections);
    }

    [Fact]
    public void Relief_StaysHigh_EasesLevelByLevelAndTightensWhenItGrows()
    {
        var relief = new MemoryRelief(NullLogger.Instance, () => { });
        var settings = new PressureSettings();
        var eased = new List<(long At, int By)>();
        for (long now = 0; now < 60_000; now += 100)
        {
            int before = relief.EasedBy;
            relief.Update(PressureLevel.Critical, now < 45_000 ? 0.95 : 0.98, now, settings);
            if (relief.EasedBy != before)
            {
                eased.Add((now, relief.EasedBy));
            }
        }

        // The first ten seconds are given to the collection. From level critical it takes three steps to shed nothing any more.
        Assert.Equal([(20_000, 1), (30_000, 2), (40_000, 3), (45_000, 0), (55_000, 1)], eased);
        Assert.True(relief.IsStuck);
    }

    [Fact]
    public void Relief_StuckForLong_AsksForACollectionOncePerInterval()
    {
        int collections = 0;
        var relief = new MemoryRelief(NullLogger.Instance, () => collections++);
        for (long now = 0; now <= 3_600_000; now += 1_000)
        {
            relief.Update(PressureLevel.High, 0.9, now, new PressureSettings());
        }

        Assert.Equal(12, collections);
    }

    [Fact]
    public async Task Tick_MemoryStaysHigh_RequestsAreRefusedOnlyForAWhile()
    {
        double memory = 0.96;
        await using DegradeHost host = await DegradeHost.StartAsync(
            new() { ["MaxAutomaticOff"] = "1000" }, builder => builder.AddSignal(SystemSignals.Memory, () => memory).AddAdmission(), samples: false);
        AdmissionController admission = host.Services.GetRequiredService<AdmissionController>();
        Run(host, 2_000);
        Assert.Equal(AdmissionResult.RefusedByPressure, admission.TryEnter(Priority.Normal, out _));
        Run(host, 60_000);
        Assert.True(Monitor(host).IsMemoryStuck);
        Assert.Equal(AdmissionResult.Admitted, admission.TryEnter(Priority.Low, out _));
        HealthCheckService health = host.Services.GetRequiredService<HealthCheckService>();
        Assert.Equal(HealthStatus.Unhealthy, (await health.CheckHealthAsync()).Entries["resilience-pressure"].Status);
        memory = 0.1;
        Run(host, 60_000);
        Assert.False(Monitor(host).IsMemoryStuck);
        Assert.Equal(HealthStatus.Healthy, (await health.CheckHealthAsync()).Entries["resilience-pressure"].Status);
    }

    [Fact]
    public async Task Health_CriticalPressure_IsDegradedAndNamesTheSignal()
    {
        double value = 0.99;
        await using DegradeHost host = await StartAsync(() => value);
        Run(host, 1_000);
        HealthReport report = await host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync();
        HealthReportEntry entry = report.Entries["resilience-pressure"];
        Assert.Equal(HealthStatus.Degraded, entry.Status);
        Assert.Contains("'queue:test'", entry.Description, StringComparison.Ordinal);
        Assert.Contains("ready", entry.Tags);
        value = 0;
    }

    [Fact]
    public async Task Start_SettingsNameASignalThatIsNotThere_IsAWarningOnce()
    {
        var settings = new Dictionary<string, string?> { ["Features:p-triggered:Triggers:0"] = "queue:tset", ["Features:p-low:Triggers:0"] = "queue:test", ["Pressure:Signals:queue.test:Enter"] = "0.85" };
        await using DegradeHost host = await StartAsync(() => 0, null, settings);
        host.Reload(settings);
        LogEntry warning = Assert.Single(host.Logs.WithId(4025));
        Assert.Contains("Resilience:Degrade:Features:p-triggered:Triggers", warning.Message, StringComparison.Ordinal);
        Assert.Contains("'queue:tset'", warning.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Thread_HostStarted_SamplesByItself()
    {
        using var sampled = new CountdownEvent(3);
        await using DegradeHost host = await DegradeHost.StartAsync(null, builder => builder.AddSignal("count", () =>
        {
            if (!sampled.IsSet)
            {
                sampled.Signal();
            }

            return 0;
        }));
        Assert.True(sampled.Wait(TimeSpan.FromSeconds(60)));
    }

    private static (FeatureState, FeatureState, FeatureState) States(DegradeHost host) =>
        (host.Degradation.StateOf(Low), host.Degradation.StateOf(Normal), host.Degradation.StateOf(Critical));

    private static PressureMonitor Monitor(DegradeHost host) => host.Services.GetRequiredService<PressureMonitor>();

    private void Run(DegradeHost host, int milliseconds)
    {
        PressureMonitor monitor = Monitor(host);
        for (int i = 0; i < milliseconds; i += 100)
        {
            monitor.Tick(new SystemSample(_now += 100, 100, 0, 0, 0, 0));
        }
    }

    private static Task<DegradeHost> StartAsync(Func<double> signal, Action<IDegradationBuilder>? configure = null, Dictionary<string, string?>? settings = null) =>
        DegradeHost.StartAsync(
            settings ?? new() { ["MaxAutomaticOff"] = "1000" }, // features of other tests count too
            builder =>
            {
                builder.AddSignal("queue:test", signal);
                configure?.Invoke(builder);
            },
            samples: false);
}
