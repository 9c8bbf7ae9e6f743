using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Resilience.Caching.Guard;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Guard;

public class BloomGuardTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly ListSource _source = new("a", "b", "c");
    private readonly GuardOptions _options = new() { ExpectedKeys = 1_000, FalsePositiveRate = 0.000001, AuditShare = 0 };

    [Fact]
    public async Task Check_BeforeTheFirstFilter_IsNotReady()
    {
        await using BloomGuard guard = Create();
        Assert.Equal(GuardVerdict.NotReady, Check(guard, "x"));
        Assert.True(guard.MayExist("x"));
        Assert.Equal(GuardState.Off, guard.State);
    }

    [Fact]
    public async Task Check_Ready_RefusesOnlyWhatTheSourceDoesNotHave()
    {
        await using BloomGuard guard = await ReadyAsync();
        Assert.All(_source.Keys, key => Assert.Equal(GuardVerdict.MaybePresent, Check(guard, key)));
        Assert.Equal(GuardVerdict.DefinitelyAbsent, Check(guard, "x"));
        Assert.False(guard.MayExist("x"));
        Assert.Equal(2, guard.GetStatistics().Refusals);
    }

    [Fact]
    public async Task Configure_SwitchedOff_IsOffAndHealthyNotStale()
    {
        await using BloomGuard guard = await ReadyAsync();
        guard.Configure(new GuardOptions { Enabled = false });
        Assert.Equal(GuardState.Off, guard.State);
        Assert.Equal(HealthStatus.Healthy, (await new GuardHealthCheck(guard).CheckHealthAsync(new HealthCheckContext())).Status);
        guard.Configure(_options);
        Assert.Equal(GuardState.Ready, guard.State);
    }

    [Fact]
    public async Task AddAsync_Absent_CompletesAtOnceAndIsFound()
    {
        await using BloomGuard guard = await ReadyAsync();
        Assert.True(guard.AddAsync("x").IsCompletedSuccessfully);
        Assert.Equal(GuardVerdict.MaybePresent, Check(guard, "x"));
    }

    [Fact]
    public async Task Rebuild_KeyAddedBeforeItBeganAndCommittedAfterItsSnapshot_IsKept()
    {
        await using BloomGuard guard = await ReadyAsync();
        await guard.AddAsync("late"); // its row commits after the snapshot below
        Assert.True(await guard.RebuildAsync());
        Assert.Equal(GuardVerdict.MaybePresent, Check(guard, "late"));
    }

    [Fact]
    public async Task Rebuild_KeyAddedDuringTheSnapshot_IsKept()
    {
        await using BloomGuard guard = await ReadyAsync();
        _source.AtBegin = () => guard.AddAsync("during").AsTask();
        _source.AtEnd = () => guard.AddAsync("at the end").AsTask();
        Assert.True(await guard.RebuildAsync());
        Assert.Equal(GuardVerdict.MaybePresent, Check(guard, "during"));
        Assert.Equal(GuardVerdict.MaybePresent, Check(guard, "at the end"));
    }

    [Fact]
    public async Task Rebuild_DeletedKey_IsForgotten()
    {
        await using BloomGuard guard = await ReadyAsync();
        _source.Keys.Remove("b");
        Assert.True(await guard.RebuildAsync());
        Assert.Equal(GuardVerdict.DefinitelyAbsent, Check(guard, "b"));
    }

    [Fact]
    public async Task Rebuild_SourceFails_KeepsTheFilterInForce()
    {
        await using BloomGuard guard = await ReadyAsync();
        _source.AtEnd = () => throw new IOException("no route");
        await Assert.ThrowsAsync<IOException>(() => guard.RebuildAsync());
        Assert.Equal(GuardState.Ready, guard.State);
        Assert.Equal(GuardVerdict.DefinitelyAbsent, Check(guard, "x"));
        Assert.Equal("no route", guard.GetStatistics().LastError);
    }

    [Fact]
    public async Task Rebuild_FirstOneFails_RefusesNothing()
    {
        await using BloomGuard guard = Create();
        _source.AtEnd = () => throw new IOException("no route");
        await Assert.ThrowsAsync<IOException>(() => guard.RebuildAsync());
        Assert.Equal(GuardState.Failed, guard.State);
        Assert.Equal(GuardVerdict.NotReady, Check(guard, "x"));
    }

    [Fact]
    public async Task Rebuild_SourceLargerThanExpected_GrowsTheFilter()
    {
        _options.ExpectedKeys = 100;
        _source.Keys.AddRange(Enumerable.Range(0, 20_000).Select(i => $"k{i}"));
        await using BloomGuard guard = await ReadyAsync();
        Assert.Equal(2, _source.Reads);
        Assert.InRange(guard.GetStatistics().EstimatedFalsePositiveRate, 0, _options.FalsePositiveRate * 1.2);
    }

    [Fact]
    public async Task Check_OlderThanMaxAge_RefusesNothing()
    {
        await using BloomGuard guard = await ReadyAsync();
        _time.Advance(_options.MaxAge - TimeSpan.FromMilliseconds(1));
        Assert.Equal(GuardVerdict.DefinitelyAbsent, Check(guard, "x"));
        _time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(GuardVerdict.NotReady, Check(guard, "x"));
        Assert.Equal(GuardState.Stale, guard.State);
        Assert.Equal(1, guard.GetStatistics().Withheld);
    }

    [Fact]
    public async Task Check_Overfull_RefusesNothingAndSaysSoOnce()
    {
        using var logs = new LogCollector();
        _options.ExpectedKeys = 100;
        _options.FalsePositiveRate = 0.001;
        await using BloomGuard guard = await ReadyAsync(logs.CreateLogger("guard"));
        for (int i = 0; i < 2_000; i++)
        {
            await guard.AddAsync($"n{i}");
        }

        Assert.Equal(GuardState.Overfull, guard.State);
        Assert.DoesNotContain(Enumerable.Range(0, 5_000), i => !guard.MayExist($"absent{i}"));
        Assert.Single(logs.WithId(3503));
        Assert.True(await guard.RebuildAsync());
        Assert.Equal(GuardState.Ready, guard.State);
    }

    [Fact]
    public async Task Exists_AuditedRefusalThatExists_DisablesUntilARebuildThatBeganLater()
    {
        using var logs = new LogCollector();
        _options.AuditShare = 1;
        await using BloomGuard guard = await ReadyAsync(logs.CreateLogger("guard"));
        Assert.Equal(GuardVerdict.MaybePresent, Check(guard, "unannounced"));
        _source.AtEnd = () =>
        {
            ((ICacheGuard)guard).Exists("unannounced");
            return Task.CompletedTask;
        };
        Assert.True(await guard.RebuildAsync());
        Assert.Equal(GuardState.Contradicted, guard.State);
        _options.AuditShare = 0;
        Assert.Equal(GuardVerdict.NotReady, Check(guard, "x"));
        Assert.Equal(1, guard.GetStatistics().Contradictions);
        Assert.Single(logs.WithId(3502));

        _source.AtEnd = null;
        Assert.True(await guard.RebuildAsync());
        Assert.Equal(GuardState.Ready, guard.State);
        Assert.Equal(GuardVerdict.MaybePresent, Check(guard, "unannounced"));
    }

    [Fact]
    public async Task Exists_NotAudited_CountsAsAnAddition()
    {
        await using BloomGuard guard = await ReadyAsync();
        ((ICacheGuard)guard).Exists("set by hand");
        Assert.Equal(GuardState.Ready, guard.State);
        Assert.Equal(GuardVerdict.MaybePresent, Check(guard, "set by hand"));
    }

    [Fact]
    public async Task Check_AuditShare_LetsAboutThatShareThrough()
    {
        _options.AuditShare = 0.1;
        await using BloomGuard guard = await ReadyAsync();
        int through = Enumerable.Range(0, 20_000).Count(i => Check(guard, $"absent{i}") == GuardVerdict.MaybePresent);
        Assert.InRange(through, 1_700, 2_300); // seven standard deviations
        Assert.Equal(through, guard.GetStatistics().Audits);
    }

    [Fact]
    public async Task Start_BuildsAtOnceAndAgainOnSchedule()
    {
        using var logs = new LogCollector();
        await using BloomGuard guard = Create(logs.CreateLogger("guard"));
        guard.Start();
        await logs.WaitForAsync(entry => entry.Id.Id == 3500);
        await _time.WaitForTimersAsync();
        _source.Keys.Remove("c");
        logs.Clear();
        _time.Advance(_options.Rebuild * 1.1);
        await logs.WaitForAsync(entry => entry.Id.Id == 3500);
        Assert.Equal(GuardVerdict.DefinitelyAbsent, Check(guard, "c"));
    }

    [Fact]
    public async Task Start_SourceThatLacksKeysForGood_IsNotReadWithoutAPause()
    {
        using var logs = new LogCollector();
        _options.AuditShare = 1;
        await using BloomGuard guard = Create(logs.CreateLogger("guard"));
        guard.Start();
        await ContradictOnceBuiltAsync(1);
        await ContradictOnceBuiltAsync(2); // the first doubt is met at once, the clock stands still
        await logs.WaitForAsync(_ => guard.GetStatistics().Contradictions == 2);

        long contradicted = _time.GetTimestamp();
        while (guard.GetStatistics().Rebuilds == 2)
        {
            await Task.Yield();
            _time.Advance(TimeSpan.FromMilliseconds(10));
        }

        Assert.True(_time.GetElapsedTime(contradicted) >= TimeSpan.FromSeconds(1), $"rebuilt after {_time.GetElapsedTime(contradicted)}");

        async Task ContradictOnceBuiltAsync(int rebuilds)
        {
            while (guard.GetStatistics().Rebuilds < rebuilds || guard.State != GuardState.Ready)
            {
                await Task.Yield();
            }

            Assert.Equal(GuardVerdict.MaybePresent, Check(guard, $"unannounced {rebuilds}"));
            ((ICacheGuard)guard).Exists($"unannounced {rebuilds}");
        }
    }

    [Fact]
    public async Task Check_AnyOutcome_AllocatesNothing()
    {
        await using BloomGuard guard = await ReadyAsync();
        AllocationAssert.AtMost(0, () => Check(guard, "a"));
        AllocationAssert.AtMost(0, () => Check(guard, "x"));
        AllocationAssert.AtMost(10, () => guard.AddAsync("a")); // a remembered hash is 8 bytes
    }

    [Fact]
    public async Task Configure_Disabled_RefusesNothing()
    {
        await using BloomGuard guard = await ReadyAsync();
        guard.Configure(new GuardOptions { Enabled = false });
        Assert.Equal(GuardVerdict.NotReady, Check(guard, "x"));
        guard.Configure(_options);
        Assert.Equal(GuardVerdict.DefinitelyAbsent, Check(guard, "x"));
    }

    private static GuardVerdict Check(BloomGuard guard, string key) => ((ICacheGuard)guard).Check(key);

    private BloomGuard Create(ILogger? logger = null) => new("products", _options, _source, null, _time, logger ?? NullLogger.Instance);

    private async Task<BloomGuard> ReadyAsync(ILogger? logger = null)
    {
        BloomGuard guard = Create(logger);
        Assert.True(await guard.RebuildAsync());
        Assert.Equal(GuardState.Ready, guard.State);
        return guard;
    }
}
