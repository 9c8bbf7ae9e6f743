using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching;
using Resilience.Caching.Backplane;
using Resilience.Caching.Invalidation;
using Resilience.Caching.Shared;
using Resilience.Redis.Caching;
using Resilience.TestKit;

namespace Resilience.Redis.Tests.Caching;

/// <summary>Two nodes, one Redis, a proxy in front of one of them: see <see cref="HistoryRun"/>. And the checker itself, which must find what is wrong.</summary>
public sealed class HistoryTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task History_RandomOperationsOnTwoNodes_NothingOlderThanAKnownInvalidation(bool withFaults)
    {
        await using RedisServer server = await RedisServer.StartNewAsync();
        await using ChaosProxy proxy = ChaosProxy.Start(server);
        await using RedisNode one = await RedisNode.StartAsync(server.Endpoint, "h:", Configure);
        await using RedisNode two = await RedisNode.StartAsync(proxy.Endpoint, "h:", Configure);
        await one.UntilUpAsync();
        await two.UntilUpAsync();
        int cuts = 0;
        using var meter = StallMeter.Start();
        TimeSpan duration = TimeSpan.FromSeconds(Environment.GetEnvironmentVariable("NIGHTLY") == "1" ? 120 : withFaults ? 6 : 3);
        var run = new HistoryRun(one.Cache, two.Cache, meter, withFaults);
        await new StressRunner { Workers = withFaults ? 7 : 6, Duration = duration }.RunAsync(async worker =>
        {
            if (worker.Index == 6)
            {
                await CutAsync(proxy, worker);
                cuts++;
                return;
            }

            await run.StepAsync(worker, duration);
        });
        await run.ProbeAsync();
        History history = run.History;
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{history.Reads} reads, {string.Join(", ", history.Changes.Select(change => $"{change.Value} x {change.Key}"))}, {cuts} cuts, {one.Cache.Snapshot().Discarded + two.Cache.Snapshot().Discarded} loads discarded, {two.Cache.Snapshot().Distrusted} times distrusted; bound {run.Bound} ms, machine late by {meter.Worst.TotalMilliseconds:0} ms");
        Assert.Null(run.Check());
        Assert.Equal(HistoryRun.Hows.Order(StringComparer.Ordinal), history.Changes.Keys.Order(StringComparer.Ordinal));
        Assert.True(history.Reads > 100, $"Only {history.Reads} reads: too few to prove anything.");
        Assert.True(!withFaults || cuts > 0);
    }

    /// <summary>A run on a node that does not take in one kind of change; everything else works. The history must show it.</summary>
    [Theory]
    [InlineData("key changed")]
    [InlineData("key expired")]
    [InlineData("tag")]
    [InlineData("namespace")]
    public async Task History_NodeDeafToOneKindOfChange_IsFound(string lost)
    {
        await using RedisServer server = await RedisServer.StartNewAsync();
        await using RedisNode one = await RedisNode.StartAsync(server.Endpoint, "h:");
        await using RedisNode deaf = await RedisNode.StartAsync(server.Endpoint, "h:", register: services => services.AddSingleton<IBackplane>(
            provider => new DeafBackplane(new RedisBackplane(provider.GetRequiredService<RedisConnection>()), change => KindOf(change) == lost)));
        await one.UntilUpAsync();
        await deaf.UntilUpAsync();
        using var meter = StallMeter.Start();
        var run = new HistoryRun(one.Cache, deaf.Cache, meter, withFaults: false);
        var duration = TimeSpan.FromSeconds(0.5);
        await new StressRunner { Workers = 4, Duration = duration }.RunAsync(worker => run.StepAsync(worker, duration));
        Assert.Contains("the other node's", await run.ProbeAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public void Check_NodeReadsOlderThanItsOwnChange_IsFound()
    {
        var history = new History();
        history.AddRead(0, 1, 1, history.Now());
        history.AddChange(0, 1, 2, "remove", history.Now());
        Assert.Null(history.Check(1_000));
        history.AddRead(0, 1, 2, history.Now());
        history.AddRead(1, 1, 1, history.Now()); // the other node may not have heard yet
        Assert.Null(history.Check(1_000));
        history.AddRead(0, 1, 1, history.Now());
        Assert.Contains("its own remove of version 2", history.Check(1_000), StringComparison.Ordinal);
    }

    [Fact]
    public void Check_OtherNodeReadsOlderPastTheBound_IsFound()
    {
        var history = new History();
        history.AddChange(0, 1, 2, "clear", history.Now());
        History.Moment late = history.Now();
        history.AddRead(1, 1, 1, late with { Milliseconds = late.Milliseconds + 900 });
        Assert.Null(history.Check(1_000));
        history.AddRead(1, 1, 1, late with { Milliseconds = late.Milliseconds + 1_100 });
        Assert.Contains("the other node's clear of version 2", history.Check(1_000), StringComparison.Ordinal);
    }

    [Fact]
    public void Check_ReadThatBeganBeforeTheChangeReturned_IsNoViolation()
    {
        var history = new History();
        History.Moment began = history.Now();
        history.AddChange(0, 1, 2, "set", history.Now());
        history.AddRead(0, 1, 1, began);
        Assert.Null(history.Check(0));
    }

    private static string KindOf(Change change) => change.Kind switch
    {
        ChangeKind.Key => "key changed",
        ChangeKind.KeyExpired => "key expired",
        ChangeKind.Tag => change.Name == Invalidations.NamespaceTag ? "namespace" : "tag",
        _ => "",
    };

    private static void Configure(CacheOptions options)
    {
        RedisNode.Impatient(options);
        options.Shared.BlindFor = TimeSpan.FromMilliseconds(500);
    }

    private static async Task CutAsync(ChaosProxy proxy, StressWorker worker)
    {
        proxy.RefusesNew = true;
        proxy.Cut();
        await Task.Delay(worker.Random.Next(20, 120));
        proxy.RefusesNew = false;
        proxy.Heal();
        await Task.Delay(worker.Random.Next(400, 1200));
    }
}
