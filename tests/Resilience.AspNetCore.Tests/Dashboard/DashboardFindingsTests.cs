using Resilience.AspNetCore.Dashboard;
using Resilience.Degrade;

namespace Resilience.AspNetCore.Tests.Dashboard;

public sealed class DashboardFindingsTests
{
    [Fact]
    public void Of_NothingWrong_IsEmpty() =>
        Assert.Empty(Findings(snapshot => snapshot with { Pools = [Pool()], Caches = [Cache()], Scopes = new ScopeFigures { Live = 3, Leaks = 0, LastLeaks = [], Oldest = [] } }));

    [Fact]
    public void Of_PoolExhausted_NamesFiguresAndOldestHolder()
    {
        Finding finding = Assert.Single(Findings(snapshot => snapshot with
        {
            Pools = [Pool() with { Leased = 16, Idle = 0, Waiting = 42, Holders = [new HolderFigures(63, "'checkout' Orders.cs:12", null)] }],
        }));

        Assert.Equal(Severity.Critical, finding.Severity);
        Assert.Equal("is exhausted: 16/16 leased, 0 idle, 42 waiting, oldest lease 63 s at 'checkout' Orders.cs:12", finding.Text);
    }

    [Fact]
    public void Of_BackendDownAndBreakerOpen_AreCritical()
    {
        IReadOnlyList<Finding> findings = Findings(snapshot => snapshot with
        {
            Caches = [Cache() with { SharedTier = "Open", ReplaysPending = 7 }, Cache() with { FailuresPerSecond = 1.5, StalePerSecond = 2 }],
            Pools = [Pool() with { Backend = "Down", CreateFailures = 9 }],
        });

        Assert.Equal([Severity.Critical, Severity.Critical, Severity.Warning], findings.Select(finding => finding.Severity));
        Assert.Contains(findings, finding => finding.Text == "does without its shared tier: the breaker is open, 7 writes wait for it");
        Assert.Contains(findings, finding => finding.Text.StartsWith("cannot create resources: 9 attempts", StringComparison.Ordinal));
    }

    [Fact]
    public void Of_Pressure_ComesByLevelWithItsValue()
    {
        IReadOnlyList<Finding> findings = Findings(snapshot => snapshot with
        {
            Pressure = new PressureFigures
            {
                Level = PressureLevel.High,
                Loudest = "memory",
                Signals = [new SignalFigures("cpu", 0.86, PressureLevel.Elevated), new SignalFigures("memory", 0.91, PressureLevel.High), new SignalFigures("threadpool", 0, PressureLevel.Normal)],
            },
        });

        Assert.Equal([("memory", "is High at 0.91"), ("cpu", "is Elevated at 0.86")], findings.Select(finding => (finding.Subject, finding.Text)));
    }

    [Fact]
    public void Of_PoolThatPresses_IsToldOnceWithItsFigures()
    {
        IReadOnlyList<Finding> findings = Findings(snapshot => snapshot with
        {
            Pools = [Pool() with { Leased = 16, Waiting = 42 }],
            Pressure = new PressureFigures { Level = PressureLevel.High, Loudest = "memory", Signals = [new SignalFigures("pool:orders", 1, PressureLevel.Critical), new SignalFigures("memory", 0.91, PressureLevel.High)] },
        });

        Assert.Equal(["memory", "orders"], findings.Select(finding => finding.Subject));
    }

    [Theory]
    [InlineData("Ready", null)]
    [InlineData("Loading", null)]
    [InlineData("Stale", Severity.Warning)]
    [InlineData("Contradicted", Severity.Critical)]
    public void Of_Guard_SaysWhenItRefusesNothing(string state, object? severity)
    {
        IReadOnlyList<Finding> findings = Findings(snapshot => snapshot with { Caches = [Cache() with { Guard = new GuardFigures(state, 1_000, 0.01, 2) }] });

        Assert.Equal((Severity?)severity, findings.SingleOrDefault()?.Severity);
    }

    [Fact]
    public void Of_ThousandPoolsWrong_StaysReadable() =>
        Assert.Equal(DashboardFindings.Maximum, Findings(snapshot => snapshot with { Pools = [.. Enumerable.Range(0, 1_000).Select(_ => Pool() with { Waiting = 1 })] }).Count);

    private static IReadOnlyList<Finding> Findings(Func<DashboardSnapshot, DashboardSnapshot> fill) =>
        DashboardFindings.Of(fill(new DashboardSnapshot { Now = DateTimeOffset.UnixEpoch, UptimeSeconds = 1 }), null);

    private static PoolFigures Pool() => new() { Name = "orders", MaxSize = 16, Limit = 16, Leased = 2, Idle = 3, Busy = 0, Waiting = 0, Backend = "Up", Holders = [] };

    private static CacheFigures Cache() => new()
    {
        Name = "products",
        ReadsPerSecond = 10,
        LocalHitRatio = 0.9,
        SharedHitRatio = null,
        LoadsPerSecond = 1,
        FailuresPerSecond = 0,
        StalePerSecond = 0,
        RefusedPerSecond = 0,
        Flights = 0,
        Entries = 5,
        Weight = 5,
        SharedTier = "Closed",
    };
}
