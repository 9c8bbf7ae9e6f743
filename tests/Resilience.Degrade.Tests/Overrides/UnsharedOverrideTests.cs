using System.Runtime.CompilerServices;
using Resilience.TestKit;

namespace Resilience.Degrade.Tests.Overrides;

/// <summary>The store is away: doing less holds here, and is shared when the store is back, unless something newer came.</summary>
public sealed class UnsharedOverrideTests
{
    [Fact]
    public async Task Store_Lost_DoingLessHoldsHereAndNothingElseChanges()
    {
        var store = new TestStore();
        await using DegradeHost host = await store.StartAsync();
        await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Degraded, "why", "who");
        store.IsLost = true;
        store.Commands.Writer.TryComplete(new IOException("lost"));
        await host.Logs.WaitForAsync(entry => entry.Id.Id == 4013);
        Assert.Equal(FeatureState.Degraded, host.Degradation.StateOf(TestStore.Export));
        await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Off, "worse", "who");
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(TestStore.Export));
        await Assert.ThrowsAsync<IOException>(async () => await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Normal, "why", "who"));
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(TestStore.Export));
    }

    [Fact]
    public async Task Store_BackAgain_GetsWhatItCouldNotKeepForTheRestOfItsTerm()
    {
        var store = new TestStore { IsLost = true };
        await using DegradeHost host = await store.StartAsync();
        OverrideCommand issued = await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Off, "INC-5", "ann", TimeSpan.FromMinutes(10));
        Assert.Single(host.Logs.WithId(4012));
        await AdvanceUntilAsync(host, () => host.Time.GetUtcNow() >= issued.IssuedAt.AddMinutes(2));
        Assert.Null(store.Last);
        store.IsLost = false;
        await AdvanceUntilAsync(host, () => host.Logs.WithId(4016).Count > 0);
        OverrideCommand shared = Assert.Single(store.Appended);
        Assert.Equal((FeatureState.Off, "INC-5", "ann", issued.ExpiresAt), (shared.State, shared.Reason, shared.Who, shared.ExpiresAt));

        // Young and one of its kind, or other nodes would refuse it.
        Assert.NotEqual(issued.Nonce, shared.Nonce);
        Assert.True(shared.IssuedAt >= issued.IssuedAt.AddMinutes(2));
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(TestStore.Export));
        await AdvanceUntilAsync(host, () => host.Time.GetUtcNow() >= shared.IssuedAt.AddMinutes(1));
        Assert.Single(store.Appended);
    }

    [Fact]
    public async Task Store_BackWithSomethingNewer_TheNewerHoldsAndNothingIsShared()
    {
        var store = new TestStore { IsLost = true };
        await using DegradeHost host = await store.StartAsync();
        OverrideCommand issued = await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Off, "INC-5", "ann");
        store.Kept.Add(TestStore.Command(issued.IssuedAt.AddSeconds(1)) with { State = FeatureState.Degraded, Revision = 7 });
        store.IsLost = false;
        await AdvanceUntilAsync(host, () => host.Degradation.StateOf(TestStore.Export) == FeatureState.Degraded);
        await AdvanceUntilAsync(host, () => host.Time.GetUtcNow() >= issued.IssuedAt.AddMinutes(2));
        Assert.Empty(store.Appended);
    }

    [Fact]
    public async Task Store_BackWithSomethingOlder_WhatWasSaidHereHoldsAndIsShared()
    {
        var store = new TestStore { IsLost = true };
        await using DegradeHost host = await store.StartAsync();
        OverrideCommand issued = await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Off, "INC-5", "ann");
        store.Kept.Add(TestStore.Command(issued.IssuedAt.AddSeconds(-1)) with { State = FeatureState.Degraded, Revision = 7 });
        store.IsLost = false;
        await AdvanceUntilAsync(host, () => host.Logs.WithId(4016).Count > 0);
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(TestStore.Export));
        Assert.True(store.Last!.Revision > 7, store.Last.ToString());
    }

    [Fact]
    public async Task Store_KeptItAndOnlyTheAnswerWasLost_NothingIsSharedTwice()
    {
        var store = new TestStore { IsLost = true };
        await using DegradeHost host = await store.StartAsync();
        OverrideCommand issued = await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Off, "INC-5", "ann");
        store.Kept.Add(issued with { Revision = 3 });
        store.IsLost = false;
        await AdvanceUntilAsync(host, () => host.Time.GetUtcNow() >= issued.IssuedAt.AddMinutes(2));
        Assert.Empty(store.Appended);
        Assert.Equal(4, (await host.Degradation.LiftOverrideAsync(TestStore.Export, "over", "ann")).Revision);
    }

    [Fact]
    public async Task Store_BackButTheOperatorHasLifted_NothingIsShared()
    {
        var store = new TestStore { IsLost = true };
        await using DegradeHost host = await store.StartAsync();
        OverrideCommand issued = await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Off, "INC-5", "ann");
        await Assert.ThrowsAsync<IOException>(async () => await host.Degradation.LiftOverrideAsync(TestStore.Export, "over", "ann"));
        store.IsLost = false;
        await host.Degradation.LiftOverrideAsync(TestStore.Export, "over", "ann");
        await AdvanceUntilAsync(host, () => host.Time.GetUtcNow() >= issued.IssuedAt.AddMinutes(2));
        Assert.Null(Assert.Single(store.Appended).State);
        Assert.Equal(FeatureState.Normal, host.Degradation.StateOf(TestStore.Export));
    }

    [Fact]
    public async Task Store_BackWhenTheTermIsOver_NothingIsShared()
    {
        var store = new TestStore { IsLost = true };
        await using DegradeHost host = await store.StartAsync();
        OverrideCommand issued = await host.Degradation.OverrideAsync(TestStore.Export, FeatureState.Off, "INC-5", "ann", TimeSpan.FromMinutes(1));
        host.Time.Advance(TimeSpan.FromMinutes(1.5));
        store.IsLost = false;
        await AdvanceUntilAsync(host, () => host.Time.GetUtcNow() >= issued.IssuedAt.AddMinutes(4));
        Assert.Empty(store.Appended);
    }

    /// <summary>Moves the clock a little again and again: the desk's loops come to their waits on threads of their own.</summary>
    private static Task AdvanceUntilAsync(DegradeHost host, Func<bool> condition, [CallerArgumentExpression(nameof(condition))] string what = "") =>
        host.Time.AdvanceUntilAsync(TimeSpan.FromSeconds(1), condition, what);
}
