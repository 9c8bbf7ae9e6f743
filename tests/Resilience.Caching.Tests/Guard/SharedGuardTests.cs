using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Resilience.Caching.Guard;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Guard;

/// <summary>Two guards over one journal, one step at a time.</summary>
public sealed class SharedGuardTests : IAsyncDisposable
{
    private readonly ManualTimeProvider _time = new();
    private readonly InterruptedTime _interrupted;
    private readonly FakeGuardJournal _journal;
    private readonly ListSource _source = new("a", "b", "c");
    private readonly GuardOptions _options = new()
    {
        ExpectedKeys = 1_000,
        FalsePositiveRate = 0.000001,
        AuditShare = 0,
        CommitWithin = TimeSpan.FromSeconds(10),
        Freshness = TimeSpan.FromMilliseconds(500),
    };

    private readonly List<BloomGuard> _guards = [];

    public SharedGuardTests()
    {
        _interrupted = new InterruptedTime(_time);
        _journal = new FakeGuardJournal(_time);
    }

    [Fact]
    public async Task Rebuild_JournalYoungerThanAnUncommittedRowMayBe_WaitsForIt()
    {
        BloomGuard guard = Create("one");
        Assert.False(await guard.RebuildAsync());
        _time.Advance(_options.Retention - TimeSpan.FromMilliseconds(1));
        Assert.False(await guard.RebuildAsync());
        _time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.True(await guard.RebuildAsync());
    }

    [Fact]
    public async Task Check_JournalNotConfirmed_RefusesNothing()
    {
        BloomGuard guard = await BuiltAsync("one");
        Assert.Equal(GuardState.Stale, guard.State);
        Assert.Equal(GuardVerdict.NotReady, Check(guard, "x"));

        await guard.Follower!.StepAsync(CancellationToken.None);
        Assert.Equal(GuardState.Ready, guard.State);
        Assert.Equal(GuardVerdict.DefinitelyAbsent, Check(guard, "x"));

        _time.Advance(_options.Freshness);
        Assert.Equal(GuardState.Stale, guard.State);
        Assert.Equal(GuardVerdict.NotReady, Check(guard, "x"));
        Assert.Equal(2, guard.GetStatistics().Withheld);
    }

    [Fact]
    public async Task Step_JournalFails_RefusesUntilTheLastConfirmationHasAged()
    {
        BloomGuard guard = await BuiltAsync("one");
        await guard.Follower!.StepAsync(CancellationToken.None);
        _time.Advance(_options.Freshness / 2);
        _journal.Failure = new IOException("no route");
        await Assert.ThrowsAsync<IOException>(() => guard.Follower!.StepAsync(CancellationToken.None));
        Assert.Equal(GuardVerdict.DefinitelyAbsent, Check(guard, "x"));
        _time.Advance(_options.Freshness / 2);
        Assert.Equal(GuardVerdict.NotReady, Check(guard, "x"));
    }

    [Fact]
    public async Task AddAsync_OtherNodeConfirms_CompletesThenAndNotBefore()
    {
        BloomGuard one = await BuiltAsync("one");
        BloomGuard two = await BuiltAsync("two");
        for (int i = 0; i < 20; i++) // long enough for the leases to be known whole
        {
            await one.Follower!.StepAsync(CancellationToken.None);
            await two.Follower!.StepAsync(CancellationToken.None);
            _time.Advance(_options.Freshness / 10);
        }

        Task adding = one.AddAsync("new").AsTask();
        await one.Follower!.StepAsync(CancellationToken.None);
        await _time.WaitForTimersAsync();
        Assert.False(adding.IsCompleted);
        Assert.Equal(GuardVerdict.DefinitelyAbsent, Check(two, "new"));

        await two.Follower!.StepAsync(CancellationToken.None); // reads it
        await two.Follower!.StepAsync(CancellationToken.None); // confirms it
        await AdvanceUntilDoneAsync(adding, _options.Freshness / 2);
        Assert.Equal(GuardVerdict.MaybePresent, Check(two, "new"));
    }

    [Fact]
    public async Task AddAsync_OtherNodeSilent_CompletesWhenItMayRefuseNoMore()
    {
        BloomGuard one = await BuiltAsync("one");
        BloomGuard two = await BuiltAsync("two");
        await two.Follower!.StepAsync(CancellationToken.None);
        Task adding = one.AddAsync("new").AsTask();
        Assert.Equal(GuardVerdict.DefinitelyAbsent, Check(two, "new"));
        await AdvanceUntilDoneAsync(adding, TimeSpan.FromMinutes(1));
        Assert.Equal(GuardVerdict.NotReady, Check(two, "new"));
    }

    [Fact]
    public async Task AddAsync_JournalFails_ThrowsSoThatNobodyCommits()
    {
        BloomGuard guard = await BuiltAsync("one");
        _journal.Failure = new IOException("no route");
        var failure = await Assert.ThrowsAsync<GuardJournalException>(() => guard.AddAsync("new").AsTask());
        Assert.IsType<IOException>(failure.InnerException);
        await Assert.ThrowsAsync<GuardJournalException>(() => guard.AddAsync(["new", "newer"]).AsTask());
    }

    [Fact]
    public async Task Check_InterruptedBetweenItsLookAndItsPermission_DoesNotRefuseWhatWasConfirmedMeanwhile()
    {
        // The other node went silent; an addition waited that out, its row was committed. Then a read begins, looks, loses its
        // processor; the silent node catches up and confirms; the read goes on, and finds that the node may refuse.
        BloomGuard one = await BuiltAsync("one");
        BloomGuard two = await BuiltAsync("two", _interrupted);
        await two.Follower!.StepAsync(CancellationToken.None);
        await AdvanceUntilDoneAsync(one.AddAsync("committed").AsTask(), TimeSpan.FromMinutes(1));

        _interrupted.Next = () => Assert.True(two.Follower!.StepAsync(CancellationToken.None).IsCompletedSuccessfully);
        GuardVerdict verdict = Check(two, "committed");
        Assert.Null(_interrupted.Next);
        Assert.NotEqual(GuardVerdict.DefinitelyAbsent, verdict);
        Assert.Equal(GuardVerdict.DefinitelyAbsent, Check(two, "x"));
    }

    [Fact]
    public async Task Rebuild_KeyAddedByAnotherNodeAndNotYetCommitted_IsKept()
    {
        BloomGuard one = await BuiltAsync("one");
        await AdvanceUntilDoneAsync(one.AddAsync("late").AsTask(), TimeSpan.FromMinutes(1));
        BloomGuard two = await BuiltAsync("two"); // its snapshot does not have the row
        await two.Follower!.StepAsync(CancellationToken.None);
        Assert.Equal(GuardVerdict.MaybePresent, Check(two, "late"));
        Assert.Equal(GuardVerdict.DefinitelyAbsent, Check(two, "x"));
    }

    [Fact]
    public async Task Step_JournalLost_DropsTheFilterAndBeginsAnother()
    {
        BloomGuard guard = await BuiltAsync("one");
        await guard.Follower!.StepAsync(CancellationToken.None);
        _journal.Lose();
        await guard.Follower!.StepAsync(CancellationToken.None);
        Assert.Equal(GuardVerdict.NotReady, Check(guard, "x"));
        Assert.Single(_journal.Abandoned);

        Assert.False(await guard.RebuildAsync()); // what was added before may be in no journal and not committed
        Assert.Equal(2UL, _journal.Begun);
        _time.Advance(_options.Retention);
        Assert.True(await guard.RebuildAsync());
        await guard.Follower!.StepAsync(CancellationToken.None);
        Assert.Equal(GuardVerdict.DefinitelyAbsent, Check(guard, "x"));
        Assert.Equal(GuardVerdict.MaybePresent, Check(guard, "a"));
    }

    [Fact]
    public async Task AddAsync_JournalLostUnnoticed_GoesToTheNewOne()
    {
        BloomGuard one = await BuiltAsync("one");
        _journal.Lose();
        await AdvanceUntilDoneAsync(one.AddAsync("new").AsTask(), TimeSpan.FromMinutes(1));
        _time.Advance(_options.Retention);
        Assert.True(await one.RebuildAsync());
        await one.Follower!.StepAsync(CancellationToken.None);
        Assert.Equal(GuardVerdict.MaybePresent, Check(one, "new"));
        Assert.Equal(GuardVerdict.DefinitelyAbsent, Check(one, "x"));
    }

    [Fact]
    public async Task Step_BehindWhatIsKept_RebuildsWithoutEndingTheJournal()
    {
        BloomGuard one = await BuiltAsync("one");
        BloomGuard two = await BuiltAsync("two");
        await two.Follower!.StepAsync(CancellationToken.None);
        await AdvanceUntilDoneAsync(one.AddAsync("missed").AsTask(), TimeSpan.FromMinutes(1));
        _source.Keys.Add("missed");
        _journal.Trim();

        await two.Follower!.StepAsync(CancellationToken.None);
        Assert.Equal(GuardVerdict.NotReady, Check(two, "missed"));
        Assert.Empty(_journal.Abandoned);
        Assert.True(await two.RebuildAsync());
        await two.Follower!.StepAsync(CancellationToken.None);
        Assert.Equal(GuardVerdict.MaybePresent, Check(two, "missed"));
        Assert.Equal(GuardVerdict.DefinitelyAbsent, Check(two, "x"));
    }

    [Fact]
    public async Task Step_OtherNodesFillTheFilter_IsNoticedAsOverfull()
    {
        using var logs = new LogCollector();
        _options.ExpectedKeys = 100;
        _options.FalsePositiveRate = 0.001;
        BloomGuard one = await BuiltAsync("one");
        BloomGuard two = await BuiltAsync("two", logger: logs.CreateLogger("guard"));
        await AdvanceUntilDoneAsync(one.AddAsync([.. Enumerable.Range(0, 2_000).Select(i => $"n{i}")]).AsTask(), TimeSpan.FromMinutes(1));
        await two.Follower!.StepAsync(CancellationToken.None);
        Assert.Equal(GuardState.Overfull, two.State);
        Assert.Single(logs.WithId(3503));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (BloomGuard guard in _guards)
        {
            await guard.DisposeAsync();
        }
    }

    private static GuardVerdict Check(BloomGuard guard, string key) => ((ICacheGuard)guard).Check(key);

    private BloomGuard Create(string node, TimeProvider? time = null, ILogger? logger = null)
    {
        var guard = new BloomGuard("products", _options, _source, _journal.Node(node), time ?? _time, logger ?? NullLogger.Instance);
        _guards.Add(guard);
        return guard;
    }

    private async Task<BloomGuard> BuiltAsync(string node, TimeProvider? time = null, ILogger? logger = null)
    {
        BloomGuard guard = Create(node, time, logger);
        if (!await guard.RebuildAsync())
        {
            _time.Advance(_options.Retention);
            Assert.True(await guard.RebuildAsync());
        }

        return guard;
    }

    /// <summary>Moves the clock in small steps until a task is done.</summary>
    private async Task AdvanceUntilDoneAsync(Task task, TimeSpan atMost)
    {
        TimeSpan step = TimeSpan.FromMilliseconds(10);
        for (TimeSpan passed = TimeSpan.Zero; passed < atMost; passed += step)
        {
            Task armed = _time.WaitForTimersAsync();
            await Task.WhenAny(task, armed).WaitAsync(TimeSpan.FromSeconds(60));
            if (task.IsCompleted)
            {
                break;
            }

            _time.Advance(step);
        }

        Assert.True(task.IsCompleted, $"not done after {atMost}");
        await task;
    }

    /// <summary>A clock whose next reading can be interrupted, as a thread can between any two steps.</summary>
    private sealed class InterruptedTime(TimeProvider inner) : TimeProvider
    {
        public Action? Next { get; set; }

        public override long TimestampFrequency => inner.TimestampFrequency;

        public override long GetTimestamp()
        {
            if (Next is { } next)
            {
                Next = null;
                next();
            }

            return inner.GetTimestamp();
        }

        public override DateTimeOffset GetUtcNow() => inner.GetUtcNow();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) => inner.CreateTimer(callback, state, dueTime, period);
    }
}
