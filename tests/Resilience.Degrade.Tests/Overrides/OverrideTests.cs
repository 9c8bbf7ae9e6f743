using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Resilience.Context;
using Resilience.TestKit;

namespace Resilience.Degrade.Tests.Overrides;

public sealed class OverrideTests
{
    private static readonly Feature Export = Feature.Declare("o-export", Priority.Low);
    private static readonly OverrideCodec Codec = new(new byte[32]);

    [Fact]
    public async Task Override_BeatsConfiguration_AndEndsByItself()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:o-export"] = "On" });
        await host.Degradation.OverrideAsync(Export, FeatureState.Off, "INC-7", "ann", TimeSpan.FromMinutes(5));
        FeatureDecision decision = host.Degradation.Decide(Export);
        Assert.Equal((FeatureState.Off, DecisionSource.Override, "INC-7 (ann)"), (decision.State, decision.Source, decision.Reason));
        Assert.Equal(host.Time.GetUtcNow().AddMinutes(5), decision.Until);
        host.Time.Advance(TimeSpan.FromMinutes(4.9));
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Export));
        host.Time.Advance(TimeSpan.FromMinutes(0.2));
        Assert.Equal(FeatureState.Normal, host.Degradation.StateOf(Export));
        Assert.Single(host.Logs.WithId(4010));
        Assert.Single(host.Logs.WithId(4007));
    }

    [Fact]
    public async Task Override_WallClockJumps_TheTermDoesNot()
    {
        await using DegradeHost host = await DegradeHost.StartAsync();
        await host.Degradation.OverrideAsync(Export, FeatureState.Off, "INC-7", "ann", TimeSpan.FromMinutes(5));
        host.Time.SetUtcNow(host.Time.GetUtcNow().AddYears(-1));
        host.Time.Advance(TimeSpan.FromMinutes(4.9));
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Export));
        host.Time.SetUtcNow(host.Time.GetUtcNow().AddYears(3));
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Export));
        host.Time.Advance(TimeSpan.FromMinutes(0.2));
        Assert.Equal(FeatureState.Normal, host.Degradation.StateOf(Export));
    }

    [Fact]
    public async Task Override_DefaultTermAndBounds_AreThirtyMinutesAndADay()
    {
        await using DegradeHost host = await DegradeHost.StartAsync();
        OverrideCommand command = await host.Degradation.OverrideAsync(Export, FeatureState.Off, "why", "who");
        Assert.Equal(TimeSpan.FromMinutes(30), command.Ttl);
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(async () => await host.Degradation.OverrideAsync(Export, FeatureState.Off, "why", "who", TimeSpan.FromHours(24.1)));
        await Assert.ThrowsAsync<ArgumentException>(async () => await host.Degradation.OverrideAsync(Export, FeatureState.Off, " ", "who"));
        await Assert.ThrowsAsync<ArgumentException>(async () => await host.Degradation.OverrideAsync(Export, FeatureState.Off, "why", ""));
    }

    [Fact]
    public async Task Lift_BeforeTheEnd_TheConfigurationHoldsAgain()
    {
        await using DegradeHost host = await DegradeHost.StartAsync();
        await host.Degradation.OverrideAsync(Export, FeatureState.Off, "why", "who");
        await host.Degradation.LiftOverrideAsync(Export, "over", "who");
        Assert.Equal(FeatureState.Normal, host.Degradation.StateOf(Export));
        Assert.Equal([FeatureState.Off, null], host.Degradation.RecentOverrides.Select(entry => entry.Command.State));
    }

    [Fact]
    public async Task Audit_Broken_DoingLessGoesOnAndDoingMoreDoesNot()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(null, builder => builder.AddOverrideAudit<BrokenAudit>());
        await host.Degradation.OverrideAsync(Export, FeatureState.Off, "why", "who");
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Export));
        await Assert.ThrowsAsync<IOException>(async () => await host.Degradation.OverrideAsync(Export, FeatureState.Normal, "why", "who"));
        await Assert.ThrowsAsync<IOException>(async () => await host.Degradation.LiftOverrideAsync(Export, "why", "who"));
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Export));
    }

    [Fact]
    public async Task Store_Lost_DoingLessHoldsHereAndNothingElseChanges()
    {
        var store = new TestStore();
        await using DegradeHost host = await StartAsync(store);
        await host.Degradation.OverrideAsync(Export, FeatureState.Degraded, "why", "who");
        store.IsLost = true;
        store.Commands.Writer.TryComplete(new IOException("lost"));
        await host.Logs.WaitForAsync(entry => entry.Id.Id == 4013);
        Assert.Equal(FeatureState.Degraded, host.Degradation.StateOf(Export));
        await host.Degradation.OverrideAsync(Export, FeatureState.Off, "worse", "who");
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Export));
        await Assert.ThrowsAsync<IOException>(async () => await host.Degradation.OverrideAsync(Export, FeatureState.Normal, "why", "who"));
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Export));
    }

    [Fact]
    public async Task Receive_ReplayedStaleOldOrEndless_IsRejected()
    {
        await using DegradeHost host = await DegradeHost.StartAsync();
        OverrideDesk desk = host.Services.GetRequiredService<OverrideDesk>();
        DateTimeOffset now = host.Time.GetUtcNow();
        OverrideCommand good = Command(now) with { Revision = 5 };
        Assert.Null(desk.Receive(good, fresh: true));
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Export));
        Assert.Equal("it was seen before", desk.Receive(good, fresh: true));
        Assert.StartsWith("its revision", desk.Receive(Command(now) with { Revision = 5 }, fresh: true), StringComparison.Ordinal);
        Assert.StartsWith("it was issued", desk.Receive(Command(now.AddSeconds(-61)) with { Revision = 6 }, fresh: true), StringComparison.Ordinal);
        Assert.StartsWith("it was issued", desk.Receive(Command(now.AddSeconds(61)) with { Revision = 6 }, fresh: true), StringComparison.Ordinal);
        Assert.StartsWith("its term", desk.Receive(Command(now) with { Revision = 6, Ttl = TimeSpan.FromDays(2) }, fresh: true), StringComparison.Ordinal);
        Assert.StartsWith("it has no reason", desk.Receive(Command(now) with { Revision = 6, Reason = "" }, fresh: true), StringComparison.Ordinal);
        Assert.Equal("it has no nonce", desk.Receive(Command(now) with { Revision = 6, Nonce = "" }, fresh: true));
        Assert.Equal(7, host.Logs.WithId(4011).Count);

        // Last year's incident is not in force when it is loaded from a store.
        Assert.Equal("it has ended", desk.Receive(Command(now.AddYears(-1)) with { Revision = 9 }, fresh: false));
    }

    [Fact]
    public void Codec_RoundTripAndEveryTamperedByte_OnlyTheOriginalIsRead()
    {
        OverrideCommand command = Command(DateTimeOffset.FromUnixTimeMilliseconds(1_790_000_000_000)) with { Revision = 3, Reason = "a;b:\"c\"" };
        string text = Codec.Write(command);
        Assert.Equal(command, Codec.TryRead(text, out string? problem));
        Assert.Null(problem);
        Assert.Null(new OverrideCodec([.. Enumerable.Repeat((byte)1, 32)]).TryRead(text, out problem));
        Assert.Equal("its signature is not right", problem);
        Assert.Null(Codec.TryRead(text.Replace("\"hmac\"", "\"x\"", StringComparison.Ordinal), out problem));
        Assert.Equal("it is not signed", problem);
        int read = 0;
        for (int i = 0; i < text.Length; i++)
        {
            string tampered = string.Concat(text.AsSpan(0, i), ((char)(text[i] ^ 1)).ToString(), text.AsSpan(i + 1));
            read += Codec.TryRead(tampered, out _) is { } other && other != command ? 1 : 0;
        }

        Assert.Equal(0, read);
        Assert.Null(Codec.TryRead("[]", out problem));
        Assert.Equal("it is malformed", problem);
    }

    [Fact]
    public async Task File_AfterARestart_TheOverrideHoldsForTheRestOfItsTerm()
    {
        string file = Path.Combine(Directory.CreateTempSubdirectory("overrides").FullName, "overrides.json");
        var settings = new Dictionary<string, string?> { ["Overrides:SigningKey"] = Convert.ToBase64String(new byte[32]) };
        await using (DegradeHost first = await DegradeHost.StartAsync(new(settings), builder => builder.AddOverrideFile(file)))
        {
            await first.Degradation.OverrideAsync(Export, FeatureState.Off, "INC-9", "bob", TimeSpan.FromHours(1));
        }

        await using (DegradeHost second = await DegradeHost.StartAsync(new(settings), builder => builder.AddOverrideFile(file)))
        {
            // In force before the first request: it was loaded while the host started.
            Assert.Equal("INC-9 (bob)", second.Degradation.Decide(Export).Reason);
            second.Time.Advance(TimeSpan.FromHours(1.1));
            Assert.Equal(FeatureState.Normal, second.Degradation.StateOf(Export));
        }

        await File.WriteAllTextAsync(file, (await File.ReadAllTextAsync(file)).Replace("bob", "eve", StringComparison.Ordinal));
        await using DegradeHost third = await DegradeHost.StartAsync(new(settings), builder => builder.AddOverrideFile(file));
        await third.Logs.WaitForAsync(entry => entry.Id.Id == 4011);
        Assert.Equal(FeatureState.Normal, third.Degradation.StateOf(Export));
    }

    [Fact]
    public async Task File_WithoutAKey_FailsWithWhatToDo()
    {
        var error = await Assert.ThrowsAsync<InvalidOperationException>(() => DegradeHost.StartAsync(null, builder => builder.AddOverrideFile("/tmp/none")));
        Assert.Contains("SigningKey", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Store_FeatureDeclaredLater_TheOverrideWaitsForIt()
    {
        string name = $"o-late-{Guid.NewGuid():N}";
        var store = new TestStore();
        store.Kept.Add(Command(DateTimeOffset.UtcNow) with { Feature = name, Revision = 1 });
        await using DegradeHost host = await StartAsync(store, atUtcNow: true);
        Assert.Empty(host.Logs.WithId(4011));
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Feature.Declare(name)));
    }

    [Fact]
    public async Task Watch_OwnCommandAndLoadedOnes_ArePassedOverInSilence()
    {
        var store = new TestStore();
        await using DegradeHost host = await StartAsync(store);
        OverrideDesk desk = host.Services.GetRequiredService<OverrideDesk>();
        OverrideCommand own = await host.Degradation.OverrideAsync(Export, FeatureState.Off, "why", "who");
        Assert.Null(desk.Receive(own, fresh: true));
        OverrideCommand other = Command(host.Time.GetUtcNow()) with { Revision = own.Revision + 1 };
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
        await using DegradeHost host = await StartAsync(store);
        await host.Time.WaitForTimersAsync();
        store.Kept.Add(Command(host.Time.GetUtcNow().AddSeconds(-30)) with { Revision = 4 });
        int asked = 0;
        await Eventually.TrueAsync(
            () =>
            {
                // Once a second, should the desk not have come to its wait before: the command's term runs by the same clock.
                host.Time.Advance(asked++ % 200 == 0 ? TimeSpan.FromSeconds(16) : TimeSpan.Zero);
                return host.Degradation.StateOf(Export) == FeatureState.Off;
            },
            "the next load brings it");
    }

    [Fact]
    public async Task Append_StoreHasLostItsCount_GoesOnFromWhatTheNodeKnows()
    {
        var store = new TestStore();
        await using DegradeHost host = await StartAsync(store);
        OverrideDesk desk = host.Services.GetRequiredService<OverrideDesk>();
        Assert.Null(desk.Receive(Command(host.Time.GetUtcNow()) with { Revision = 41 }, fresh: true));
        OverrideCommand command = await host.Degradation.OverrideAsync(Export, FeatureState.Degraded, "why", "who");
        Assert.Equal(42, command.Revision);
        Assert.Equal(FeatureState.Degraded, host.Degradation.StateOf(Export));
    }

    [Fact]
    public async Task Append_AnotherNodeWasLater_TheLaterHolds()
    {
        var store = new TestStore();
        await using DegradeHost host = await StartAsync(store);
        OverrideDesk desk = host.Services.GetRequiredService<OverrideDesk>();
        store.BeforeAppendEnds = kept => desk.Receive(Command(host.Time.GetUtcNow()) with { Revision = kept.Revision + 1, State = FeatureState.Degraded }, fresh: true);
        await host.Degradation.OverrideAsync(Export, FeatureState.Off, "why", "who");
        Assert.Equal(FeatureState.Degraded, host.Degradation.StateOf(Export));
    }

    [Fact]
    public async Task LastKnownGood_StoreAwayAtTheStart_TheFileAnswersAndLaterTheStoreAgain()
    {
        string file = Path.Combine(Directory.CreateTempSubdirectory("overrides").FullName, "last.json");
        var settings = new Dictionary<string, string?> { ["Overrides:SigningKey"] = Convert.ToBase64String(new byte[32]) };
        var store = new TestStore();
        await using (DegradeHost first = await DegradeHost.StartAsync(new(settings), builder => builder.AddOverrideStore((_, _) => store, file)))
        {
            await first.Degradation.OverrideAsync(Export, FeatureState.Off, "INC-3", "bob", TimeSpan.FromHours(1));
        }

        store = new TestStore { IsLost = true };
        store.Commands.Writer.Complete(new IOException("lost"));
        await using DegradeHost second = await DegradeHost.StartAsync(new(settings), builder => builder.AddOverrideStore((_, _) => store, file));
        Assert.Equal("INC-3 (bob)", second.Degradation.Decide(Export).Reason);
        Assert.Single(second.Logs.WithId(4013));

        // The count goes on from what the file said, however little the store that comes back knows.
        store.IsLost = false;
        OverrideCommand lifted = await second.Degradation.LiftOverrideAsync(Export, "over", "bob");
        Assert.Equal(2, lifted.Revision);
        Assert.Equal(FeatureState.Normal, second.Degradation.StateOf(Export));
    }

    [Fact]
    public async Task LastKnownGood_DiskCannotBeWritten_TheOverrideHoldsAndItIsToldOnce()
    {
        string file = Path.Combine(Path.GetTempPath(), Guid.NewGuid().ToString("N"), "no-such-directory", "last.json");
        var settings = new Dictionary<string, string?> { ["Overrides:SigningKey"] = Convert.ToBase64String(new byte[32]) };
        await using DegradeHost host = await DegradeHost.StartAsync(settings, builder => builder.AddOverrideStore((_, _) => new TestStore(), file));
        await host.Degradation.OverrideAsync(Export, FeatureState.Off, "why", "who");
        await host.Degradation.OverrideAsync(Export, FeatureState.Degraded, "why", "who");
        Assert.Equal(FeatureState.Degraded, host.Degradation.StateOf(Export));
        Assert.Single(host.Logs.WithId(4015));
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
        await host.Degradation.OverrideAsync(Export, FeatureState.Off, "why", "who");
        Assert.Empty(host.Logs.WithId(4004));
    }

    [Fact]
    public async Task Store_BackAgain_GetsWhatItCouldNotKeepForTheRestOfItsTerm()
    {
        var store = new TestStore { IsLost = true };
        await using DegradeHost host = await StartAsync(store);
        OverrideCommand issued = await host.Degradation.OverrideAsync(Export, FeatureState.Off, "INC-5", "ann", TimeSpan.FromMinutes(10));
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
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Export));
        await AdvanceUntilAsync(host, () => host.Time.GetUtcNow() >= shared.IssuedAt.AddMinutes(1));
        Assert.Single(store.Appended);
    }

    [Fact]
    public async Task Store_BackWithSomethingNewer_TheNewerHoldsAndNothingIsShared()
    {
        var store = new TestStore { IsLost = true };
        await using DegradeHost host = await StartAsync(store);
        OverrideCommand issued = await host.Degradation.OverrideAsync(Export, FeatureState.Off, "INC-5", "ann");
        store.Kept.Add(Command(issued.IssuedAt.AddSeconds(1)) with { State = FeatureState.Degraded, Revision = 7 });
        store.IsLost = false;
        await AdvanceUntilAsync(host, () => host.Degradation.StateOf(Export) == FeatureState.Degraded);
        await AdvanceUntilAsync(host, () => host.Time.GetUtcNow() >= issued.IssuedAt.AddMinutes(2));
        Assert.Empty(store.Appended);
    }

    [Fact]
    public async Task Store_BackWithSomethingOlder_WhatWasSaidHereHoldsAndIsShared()
    {
        var store = new TestStore { IsLost = true };
        await using DegradeHost host = await StartAsync(store);
        OverrideCommand issued = await host.Degradation.OverrideAsync(Export, FeatureState.Off, "INC-5", "ann");
        store.Kept.Add(Command(issued.IssuedAt.AddSeconds(-1)) with { State = FeatureState.Degraded, Revision = 7 });
        store.IsLost = false;
        await AdvanceUntilAsync(host, () => host.Logs.WithId(4016).Count > 0);
        Assert.Equal(FeatureState.Off, host.Degradation.StateOf(Export));
        Assert.True(store.Last!.Revision > 7, store.Last.ToString());
    }

    [Fact]
    public async Task Store_KeptItAndOnlyTheAnswerWasLost_NothingIsSharedTwice()
    {
        var store = new TestStore { IsLost = true };
        await using DegradeHost host = await StartAsync(store);
        OverrideCommand issued = await host.Degradation.OverrideAsync(Export, FeatureState.Off, "INC-5", "ann");
        store.Kept.Add(issued with { Revision = 3 });
        store.IsLost = false;
        await AdvanceUntilAsync(host, () => host.Time.GetUtcNow() >= issued.IssuedAt.AddMinutes(2));
        Assert.Empty(store.Appended);
        Assert.Equal(4, (await host.Degradation.LiftOverrideAsync(Export, "over", "ann")).Revision);
    }

    [Fact]
    public async Task Store_BackButTheOperatorHasLifted_NothingIsShared()
    {
        var store = new TestStore { IsLost = true };
        await using DegradeHost host = await StartAsync(store);
        OverrideCommand issued = await host.Degradation.OverrideAsync(Export, FeatureState.Off, "INC-5", "ann");
        await Assert.ThrowsAsync<IOException>(async () => await host.Degradation.LiftOverrideAsync(Export, "over", "ann"));
        store.IsLost = false;
        await host.Degradation.LiftOverrideAsync(Export, "over", "ann");
        await AdvanceUntilAsync(host, () => host.Time.GetUtcNow() >= issued.IssuedAt.AddMinutes(2));
        Assert.Null(Assert.Single(store.Appended).State);
        Assert.Equal(FeatureState.Normal, host.Degradation.StateOf(Export));
    }

    [Fact]
    public async Task Store_BackWhenTheTermIsOver_NothingIsShared()
    {
        var store = new TestStore { IsLost = true };
        await using DegradeHost host = await StartAsync(store);
        OverrideCommand issued = await host.Degradation.OverrideAsync(Export, FeatureState.Off, "INC-5", "ann", TimeSpan.FromMinutes(1));
        host.Time.Advance(TimeSpan.FromMinutes(1.5));
        store.IsLost = false;
        await AdvanceUntilAsync(host, () => host.Time.GetUtcNow() >= issued.IssuedAt.AddMinutes(4));
        Assert.Empty(store.Appended);
    }

    /// <summary>Moves the clock a little again and again: the desk's loops come to their waits on threads of their own.</summary>
    private static Task AdvanceUntilAsync(DegradeHost host, Func<bool> condition, [CallerArgumentExpression(nameof(condition))] string what = "") =>
        host.Time.AdvanceUntilAsync(TimeSpan.FromSeconds(1), condition, what);

    private static OverrideCommand Command(DateTimeOffset issued) => new()
    {
        Feature = Export.Name,
        State = FeatureState.Off,
        Reason = "why",
        Who = "who",
        IssuedAt = issued,
        Ttl = TimeSpan.FromMinutes(10),
        Nonce = Guid.NewGuid().ToString("N"),
    };

    private static Task<DegradeHost> StartAsync(IOverrideStore store, bool atUtcNow = false) =>
        DegradeHost.StartAsync(null, builder => builder.Services.Replace(ServiceDescriptor.Singleton(store)), startAt: atUtcNow ? DateTimeOffset.UtcNow : null);

    private sealed class BrokenAudit : IOverrideAudit
    {
        public ValueTask WriteAsync(OverrideAuditEntry entry, CancellationToken cancellationToken) => throw new IOException("disk full");
    }

    private sealed class TestStore : IOverrideStore
    {
        private long _revision;

        public volatile bool IsLost;

        /// <summary>All that it took, in order.</summary>
        public List<OverrideCommand> Appended { get; } = [];

        public OverrideCommand? Last
        {
            get
            {
                lock (Appended)
                {
                    return Appended.LastOrDefault();
                }
            }
        }

        public Channel<OverrideCommand> Commands { get; } = Channel.CreateUnbounded<OverrideCommand>();

        public List<OverrideCommand> Kept { get; } = [];

        public Action<OverrideCommand>? BeforeAppendEnds { get; set; }

        public ValueTask<IReadOnlyList<OverrideCommand>> LoadAsync(CancellationToken cancellationToken) => IsLost ? throw new IOException("lost") : new([.. Kept]);

        public ValueTask<OverrideCommand> AppendAsync(OverrideCommand command, CancellationToken cancellationToken)
        {
            if (IsLost)
            {
                throw new IOException("lost");
            }

            _revision = Math.Max(_revision, command.Revision) + 1;
            OverrideCommand kept = command with { Revision = _revision };
            lock (Appended)
            {
                Appended.Add(kept);
            }

            BeforeAppendEnds?.Invoke(kept);
            return new(kept);
        }

        public async IAsyncEnumerable<OverrideCommand> WatchAsync([EnumeratorCancellation] CancellationToken cancellationToken)
        {
            await foreach (OverrideCommand command in Commands.Reader.ReadAllAsync(cancellationToken))
            {
                yield return command;
            }
        }
    }
}
