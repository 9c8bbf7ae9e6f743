using Microsoft.Extensions.DependencyInjection;

namespace Resilience.Degrade.Tests.Overrides;

/// <summary>What an operator says, how long it holds, and what must be told of it.</summary>
public sealed class OverrideTests
{
    [Fact]
    public async Task Override_BeatsConfiguration_AndEndsByItself()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:o-export"] = "On" });
        await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Off, "INC-7", "ann", TimeSpan.FromMinutes(5));
        FeatureDecision decision = host.Degradation.Decide(TestStore.Export);
        Assert.Equal((FeatureState.Off, DecisionSource.Override, "INC-7 (ann)"), (decision.State, decision.Source, decision.Reason));
        Assert.Equal(host.Time.GetUtcNow().AddMinutes(5), decision.Until);
        host.Time.Advance(TimeSpan.FromMinutes(4.9));
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(TestStore.Export));
        host.Time.Advance(TimeSpan.FromMinutes(0.2));
        Assert.Equal(FeatureState.Normal, host.Degradation.StateOf(TestStore.Export));
        Assert.Single(host.Logs.WithId(4010));
        Assert.Single(host.Logs.WithId(4007));
    }

    [Fact]
    public async Task Start_StoreInMemory_NothingRunsInTheBackground()
    {
        await using DegradeHost host = await DegradeHost.StartAsync();

        Assert.Null(host.Services.GetRequiredService<OverrideDesk>().ExecuteTask);
    }

    [Fact]
    public async Task Override_WallClockJumps_TheTermDoesNot()
    {
        await using DegradeHost host = await DegradeHost.StartAsync();
        await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Off, "INC-7", "ann", TimeSpan.FromMinutes(5));
        host.Time.SetUtcNow(host.Time.GetUtcNow().AddYears(-1));
        host.Time.Advance(TimeSpan.FromMinutes(4.9));
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(TestStore.Export));
        host.Time.SetUtcNow(host.Time.GetUtcNow().AddYears(3));
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(TestStore.Export));
        host.Time.Advance(TimeSpan.FromMinutes(0.2));
        Assert.Equal(FeatureState.Normal, host.Degradation.StateOf(TestStore.Export));
    }

    [Fact]
    public async Task Override_DefaultTermAndBounds_AreThirtyMinutesAndADay()
    {
        await using DegradeHost host = await DegradeHost.StartAsync();
        OverrideCommand command = await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Off, "why", "who");
        Assert.Equal(TimeSpan.FromMinutes(30), command.Ttl);
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(async () => await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Off, "why", "who", TimeSpan.FromHours(24.1)));
        await Assert.ThrowsAsync<ArgumentException>(async () => await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Off, " ", "who"));
        await Assert.ThrowsAsync<ArgumentException>(async () => await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Off, "why", ""));
    }

    [Fact]
    public async Task Lift_BeforeTheEnd_TheConfigurationHoldsAgain()
    {
        await using DegradeHost host = await DegradeHost.StartAsync();
        await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Off, "why", "who");
        await host.Degradation.LiftOverrideAsync(TestStore.Export, "over", "who");
        Assert.Equal(FeatureState.Normal, host.Degradation.StateOf(TestStore.Export));
        Assert.Equal([FeatureState.Off, null], host.Degradation.RecentOverrides.Select(entry => entry.Command.State));
    }

    [Fact]
    public async Task Audit_Broken_DoingLessGoesOnAndDoingMoreDoesNot()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(null, builder => builder.AddOverrideAudit<BrokenAudit>());
        await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Off, "why", "who");
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(TestStore.Export));
        await Assert.ThrowsAsync<IOException>(async () => await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Normal, "why", "who"));
        await Assert.ThrowsAsync<IOException>(async () => await host.Degradation.LiftOverrideAsync(TestStore.Export, "why", "who"));
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(TestStore.Export));
    }

    [Fact]
    public async Task Listener_AsksForOverridesFromAnotherThread_DoesNotDeadlock()
    {
        await using DegradeHost host = await DegradeHost.StartAsync();
        using IDisposable subscription = host.Degradation.OnChange(change =>
        {
            var other = new Thread(() => _ = host.Degradation.RecentOverrides);
            other.Start();
            Assert.True(other.Join(TimeSpan.FromSeconds(30)), "A listener waited for the lock that its own caller holds.");
        });
        await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Off, "why", "who");
        Assert.Empty(host.Logs.WithId(4004));
    }

    private sealed class BrokenAudit : IOverrideAudit
    {
        public ValueTask WriteAsync(OverrideAuditEntry entry, CancellationToken cancellationToken) => throw new IOException("disk full");
    }
}
