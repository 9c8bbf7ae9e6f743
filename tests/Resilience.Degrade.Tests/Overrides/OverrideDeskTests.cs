using Microsoft.Extensions.DependencyInjection;
using Resilience.TestKit;

namespace Resilience.Degrade.Tests.Overrides;

/// <summary>What the desk takes of what comes from the store, and what it makes of a store that knows less or more.</summary>
public sealed class OverrideDeskTests
{
    [Fact]
    public async Task Receive_ReplayedStaleOldOrEndless_IsRejected()
    {
        await using DegradeHost host = await DegradeHost.StartAsync();
        OverrideDesk desk = host.Services.GetRequiredService<OverrideDesk>();
        DateTimeOffset now = host.Time.GetUtcNow();
        OverrideCommand good = TestStore.Command(now) with { Revision = 5 };
        Assert.Null(desk.Receive(good, fresh: true));
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(TestStore.Export));
        Assert.Equal("it was seen before", desk.Receive(good, fresh: true));
        Assert.StartsWith("its revision", desk.Receive(TestStore.Command(now) with { Revision = 5 }, fresh: true), StringComparison.Ordinal);
        Assert.StartsWith("it was issued", desk.Receive(TestStore.Command(now.AddSeconds(-61)) with { Revision = 6 }, fresh: true), StringComparison.Ordinal);
        Assert.StartsWith("it was issued", desk.Receive(TestStore.Command(now.AddSeconds(61)) with { Revision = 6 }, fresh: true), StringComparison.Ordinal);
        Assert.StartsWith("its term", desk.Receive(TestStore.Command(now) with { Revision = 6, Ttl = TimeSpan.FromDays(2) }, fresh: true), StringComparison.Ordinal);
        Assert.StartsWith("it has no reason", desk.Receive(TestStore.Command(now) with { Revision = 6, Reason = "" }, fresh: true), StringComparison.Ordinal);
        Assert.Equal("it has no nonce", desk.Receive(TestStore.Command(now) with { Revision = 6, Nonce = "" }, fresh: true));
        Assert.Equal(7, host.Logs.WithId(4011).Count);

        // Last year's incident is not in force when it is loaded from a store.
        Assert.Equal("it has ended", desk.Receive(TestStore.Command(now.AddYears(-1)) with { Revision = 9 }, fresh: false));
    }

    [Fact]
    public async Task Store_FeatureDeclaredLater_TheOverrideWaitsForIt()
    {
        string name = $"o-late-{Guid.NewGuid():N}";
        var store = new TestStore();
        store.Kept.Add(TestStore.Command(DateTimeOffset.UtcNow) with { Feature = name, Revision = 1 });
        await using DegradeHost host = await store.StartAsync(atUtcNow: true);
        Assert.Empty(host.Logs.WithId(4011));
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Feature.Declare(name)));
    }

    [Fact]
    public async Task Watch_OwnCommandAndLoadedOnes_ArePassedOverInSilence()
    {
        var store = new TestStore();
        await using DegradeHost host = await store.StartAsync();
        OverrideDesk desk = host.Services.GetRequiredService<OverrideDesk>();
        OverrideCommand own = await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Off, "why", "who");
        Assert.Null(desk.Receive(own, fresh: true));
        OverrideCommand other = TestStore.Command(host.Time.GetUtcNow()) with { Revision = own.Revision + 1 };
        Assert.Null(desk.Receive(other, fresh: false));
        Assert.Null(desk.Receive(other, fresh: false));
        Assert.Null(desk.Receive(other, fresh: true));
        Assert.Empty(host.Logs.WithId(4011));
        Assert.Equal("it was seen before", desk.Receive(other, fresh: true));
    }

    [Fact]
    public async Task Watch_MissesACommand_TheNextLoadBringsIt()
    {
        var store = new TestStore();
        await using DegradeHost host = await store.StartAsync();
        await host.Time.WaitForTimersAsync();
        store.Kept.Add(TestStore.Command(host.Time.GetUtcNow().AddSeconds(-30)) with { Revision = 4 });
        int asked = 0;
        await Eventually.TrueAsync(
            () =>
            {
                // Once a second, should the desk not have come to its wait before: the command's term runs by the same clock.
                host.Time.Advance(asked++ % 200 == 0 ? TimeSpan.FromSeconds(16) : TimeSpan.Zero);
                return host.Degradation.StateOf(TestStore.Export) == FeatureState.Off;
            },
            "the next load brings it");
    }

    [Fact]
    public async Task Append_StoreHasLostItsCount_GoesOnFromWhatTheNodeKnows()
    {
        var store = new TestStore();
        await using DegradeHost host = await store.StartAsync();
        OverrideDesk desk = host.Services.GetRequiredService<OverrideDesk>();
        Assert.Null(desk.Receive(TestStore.Command(host.Time.GetUtcNow()) with { Revision = 41 }, fresh: true));
        OverrideCommand command = await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Degraded, "why", "who");
        Assert.Equal(42, command.Revision);
        Assert.Equal(FeatureState.Degraded, host.Degradation.StateOf(TestStore.Export));
    }

    [Fact]
    public async Task Append_AnotherNodeWasLater_TheLaterHolds()
    {
        var store = new TestStore();
        await using DegradeHost host = await store.StartAsync();
        OverrideDesk desk = host.Services.GetRequiredService<OverrideDesk>();
        store.BeforeAppendEnds = kept => desk.Receive(TestStore.Command(host.Time.GetUtcNow()) with { Revision = kept.Revision + 1, State = FeatureState.Degraded }, fresh: true);
        await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Off, "why", "who");
        Assert.Equal(FeatureState.Degraded, host.Degradation.StateOf(TestStore.Export));
    }
}
