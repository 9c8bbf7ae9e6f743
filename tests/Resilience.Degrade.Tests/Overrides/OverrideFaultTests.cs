using System.Runtime.CompilerServices;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Resilience.Context;
using Resilience.TestKit;

namespace Resilience.Degrade.Tests.Overrides;

/// <summary>Commands that come late, stores and audits that run out of time, streams that cannot be had.</summary>
public sealed class OverrideFaultTests
{
    private static readonly Feature Import = Feature.Declare("o-import", Priority.Low);

    /// <summary>A node that stood still for longer than the skew that is allowed gets it too late by the stream; the next load must put that right.</summary>
    [Theory]
    [InlineData(-61)]
    [InlineData(61)]
    public async Task Receive_RefusedForItsAgeByTheStream_IsTakenWhenItIsLoaded(int seconds)
    {
        await using DegradeHost host = await DegradeHost.StartAsync();
        OverrideDesk desk = host.Services.GetRequiredService<OverrideDesk>();
        OverrideCommand late = Overrides.TestStore.Command(host.Time.GetUtcNow().AddSeconds(seconds)) with { Feature = Import.Name, Revision = 5 };
        Assert.StartsWith("it was issued", desk.Receive(late, fresh: true), StringComparison.Ordinal);
        Assert.Equal(FeatureState.Normal, host.Degradation.StateOf(Import));

        // Loaded again and again; by now this node's clock may have come nearer.
        for (int i = 0; i < 3; i++)
        {
            desk.Receive(late, fresh: false);
            host.Time.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.Null(desk.Receive(late, fresh: false));
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Import));
        Assert.Single(host.Logs.WithId(4011));

        // That it was taken late does not open the door to a replay.
        Assert.NotNull(desk.Receive(late, fresh: true));
        await host.Degradation.LiftOverrideAsync(Import, "over", "ann");
        desk.Receive(late, fresh: false);
        Assert.Equal(FeatureState.Normal, host.Degradation.StateOf(Import));
    }

    /// <summary>What runs out of time inside throws the same exception as a caller who gives up, and is something else.</summary>
    [Fact]
    public async Task Override_DoesLessAndStoreAndAuditRunOutOfTime_HoldsHere()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(null, builder =>
        {
            builder.AddOverrideAudit<SlowAudit>();
            builder.Services.Replace(ServiceDescriptor.Singleton<IOverrideStore>(new TestStore { OnAppend = static _ => throw new TaskCanceledException("the store did not answer in time") }));
        });
        await host.Degradation.OverrideAsync(Import, FeatureState.Off, "INC-7", "ann");
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Import));
        Assert.Single(host.Logs.WithId(4012));
        Assert.Single(host.Logs.WithId(4014));

        // Who gives up by himself has given up.
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await host.Degradation.OverrideAsync(Import, FeatureState.Off, "INC-7", "ann", cancellationToken: new CancellationToken(canceled: true)));
    }

    [Fact]
    public async Task Watch_CannotBeHadWhileLoadsGoWell_IsToldOnce()
    {
        var store = new TestStore { OnWatch = static () => throw new IOException("no permission to subscribe") };
        await using DegradeHost host = await DegradeHost.StartAsync(null, builder => builder.Services.Replace(ServiceDescriptor.Singleton<IOverrideStore>(store)));
        await host.Time.AdvanceUntilAsync(TimeSpan.FromSeconds(1), () => store.Watched >= 10, "the stream is asked for again and again");
        Assert.Single(host.Logs.WithId(4013));
    }

    [Fact]
    public async Task Store_BackAfterTheWallClockWasSetBack_TheTermDoesNotGrow()
    {
        bool isLost = true;
        var store = new TestStore { OnAppend = _ => { if (isLost) { throw new IOException("lost"); } } };
        await using DegradeHost host = await DegradeHost.StartAsync(null, builder => builder.Services.Replace(ServiceDescriptor.Singleton<IOverrideStore>(store)));
        await host.Degradation.OverrideAsync(Import, FeatureState.Off, "INC-8", "ann", TimeSpan.FromMinutes(10));
        host.Time.SetUtcNow(host.Time.GetUtcNow().AddHours(-3));
        isLost = false;
        await host.Time.AdvanceUntilAsync(TimeSpan.FromSeconds(1), () => store.Last is not null, "what was said is shared");
        Assert.True(store.Last!.Ttl <= TimeSpan.FromMinutes(10), store.Last.Ttl.ToString());
    }

    [Fact]
    public async Task Override_StateOrTermThatThereIsNot_IsRefused()
    {
        await using DegradeHost host = await DegradeHost.StartAsync();
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(async () => await host.Degradation.OverrideAsync(Import, (FeatureState)7, "why", "who"));
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(async () => await host.Degradation.OverrideAsync(Import, FeatureState.Off, "why", "who", TimeSpan.FromTicks(1)));
        Assert.Empty(host.Degradation.RecentOverrides);
    }

    private sealed class SlowAudit : IOverrideAudit
    {
        public ValueTask WriteAsync(OverrideAuditEntry entry, CancellationToken cancellationToken) => throw new TaskCanceledException("the audit did not answer in time");
    }

    private sealed class TestStore : IOverrideStore
    {
        private int _watched;

        public Action<OverrideCommand> OnAppend { get; init; } = static _ => { };

        public Action OnWatch { get; init; } = static () => { };

        public int Watched => Volatile.Read(ref _watched);

        public volatile OverrideCommand? Last;

        public ValueTask<IReadOnlyList<OverrideCommand>> LoadAsync(CancellationToken cancellationToken) => new([]);

        public ValueTask<OverrideCommand> AppendAsync(OverrideCommand command, CancellationToken cancellationToken)
        {
            OnAppend(command);
            Last = command with { Revision = command.Revision + 1 };
            return new(Last);
        }

        public async IAsyncEnumerable<OverrideCommand> WatchAsync([EnumeratorCancellation] CancellationToken cancellationToken)
        {
            Interlocked.Increment(ref _watched);
            OnWatch();
            await Task.Delay(Timeout.Infinite, cancellationToken);
            yield break;
        }
    }
}
