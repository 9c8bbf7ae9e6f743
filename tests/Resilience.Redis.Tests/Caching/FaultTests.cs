using Resilience.Caching;
using Resilience.Caching.Guard;
using Resilience.Degrade;
using Resilience.Redis.Guard;
using Resilience.Redis.Tests.Overrides;
using Resilience.TestKit;

namespace Resilience.Redis.Tests.Caching;

public sealed class FaultTests
{
    /// <summary>What the README says.</summary>
    private static readonly string Commands = File.ReadLines(Path.Combine(AppContext.BaseDirectory, "Resilience.Redis.README.md"))
        .Single(line => line.StartsWith("`~<prefix>* &<prefix>* ", StringComparison.Ordinal)).Split('`')[1]["~<prefix>* &<prefix>* ".Length..];

    /// <summary>Enough that few callers meet on one key and wait for one another's load.</summary>
    private const int Keys = 500;

    /// <summary>How long an outage lasts; half a minute in a nightly run.</summary>
    private static readonly TimeSpan Outage = TimeSpan.FromSeconds(Environment.GetEnvironmentVariable("NIGHTLY") == "1" ? 30 : 1);

    [Theory]
    [InlineData("kill")]
    [InlineData("stall")]
    [InlineData("cut")]
    [InlineData("slow")]
    public async Task Load_RedisGoesAndComesBack_NoErrorsNoLongWaitsNoStaleValues(string fault)
    {
        await using RedisServer server = await RedisServer.StartNewAsync();
        await using ChaosProxy proxy = ChaosProxy.Start(server);
        await using RedisNode node = await RedisNode.StartAsync(proxy.Endpoint, "f:", options =>
        {
            RedisNode.Impatient(options);
            options.Expiration = TimeSpan.FromMinutes(5);
            options.LocalExpiration = TimeSpan.FromMilliseconds(20);
        });
        await node.UntilUpAsync();
        var load = new OutageLoad(node, Keys);
        await Eventually.TrueAsync(() => load.Reads >= 1_000, "the callers are at work");
        await StrikeAsync(fault, server, proxy);
        await Eventually.TrueAsync(() => node.Cache.Snapshot().SharedState != SharedTierState.Closed, "the breaker opens");
        load.Measure();
        double stall;
        using (var meter = StallMeter.Start())
        {
            await Task.Delay(Outage, CancellationToken.None);
            await Eventually.TrueAsync(() => load.Waits.Count >= 2_000, "enough was read to tell");
            stall = meter.Worst.TotalMilliseconds;
        }

        double[] during = [.. load.Waits.Order()];

        // Both invalidations happen while nothing can be written there.
        load.Change();
        await node.Cache.RemoveByTagAsync("tag");
        await node.Cache.RemoveAsync("key0");
        await MendAsync(fault, server, proxy);
        await Eventually.TrueAsync(() => node.Cache.Snapshot() is { SharedState: SharedTierState.Closed, ReplaysPending: 0 }, "the breaker closes and all is made good");
        for (int i = 0; i < Keys; i++)
        {
            Assert.Equal("v2", await node.GetAsync($"key{i}", () => "v2", ["tag"]));
        }

        await load.StopAsync();
        Assert.Empty(load.Errors);
        await using RedisNode fresh = await RedisNode.StartAsync(server.Endpoint, "f:");
        for (int i = 0; i < Keys; i++)
        {
            Assert.Equal("v2", await fresh.GetAsync($"key{i}", () => "v2", ["tag"]));
        }

        double p99 = during[(int)(during.Length * 0.99)];
        TestContext.Current.TestOutputHelper?.WriteLine($"{fault}: {during.Length} reads while open, p50 {during[during.Length / 2]:0.00} ms, p99 {p99:0.00} ms, max {during[^1]:0} ms; the machine itself stalled for up to {stall:0} ms");

        // Nobody waits longer than the hard timeout, and nearly all as long as for a load. What the machine itself was late by in the meantime is
        // not the cache's, and a read has several steps that may each be late by that.
        Assert.True(during[^1] < 250 + 750 + (5 * stall), $"A read took {during[^1]:0} ms.");
        Assert.True(p99 < 100 + (2 * stall), $"p99 of reads while the breaker was open: {p99:0} ms.");
    }

    [Fact]
    public async Task Start_RedisIsDown_WorksAndJoinsWhenItComesUp()
    {
        await using RedisServer server = await RedisServer.StartNewAsync();
        await server.StopAsync();
        await using RedisNode node = await RedisNode.StartAsync(server.Endpoint, "d:", RedisNode.Impatient);
        Assert.Equal("1", await node.GetAsync("key", () => "1"));
        await node.Cache.RemoveAsync("key");
        Assert.Equal("2", await node.GetAsync("key", () => "2"));
        await server.StartAsync();
        await node.UntilUpAsync();
        await Eventually.TrueAsync(() => node.Cache.Snapshot() is { SharedState: SharedTierState.Closed, ReplaysPending: 0 }, "the shared tier is used");
        await node.GetAsync("other", () => "3");
        await node.Cache.Writer.DrainAsync(Eventually.Patience);
        await using RedisNode second = await RedisNode.StartAsync(server.Endpoint, "d:");
        Assert.Equal("3", await second.GetAsync("other", () => "?"));
    }

    [Fact]
    public async Task Restart_RedisComesBackEmpty_OldFramesAndVersionsAreNeverBelieved()
    {
        await using RedisServer server = await RedisServer.StartNewAsync();
        await using RedisNode one = await RedisNode.StartAsync(server.Endpoint, "e:", RedisNode.Impatient);
        await using RedisNode two = await RedisNode.StartAsync(server.Endpoint, "e:", RedisNode.Impatient);
        await one.UntilUpAsync();
        await two.UntilUpAsync();
        await one.GetAsync("key", () => "1", ["tag"]);
        await one.Cache.Writer.DrainAsync(Eventually.Patience);
        await two.GetAsync("key", () => "?", ["tag"]);
        await server.KillAsync();
        await server.StartAsync();
        await one.UntilUpAsync();
        await Eventually.TrueAsync(() => one.Cache.Snapshot().SharedState == SharedTierState.Closed, "closed");
        await one.Cache.RemoveByTagAsync("tag");
        await Eventually.TrueAsync(() => one.Cache.Snapshot().ReplaysPending == 0, "made good");
        await two.UntilUpAsync();
        await Eventually.TrueAsync(() => two.Cache.TryGet<string>("key") is not { HasValue: true, IsStale: false }, "the other node distrusts");
        Assert.Equal("2", await two.GetAsync("key", () => "2", ["tag"]));
        Assert.Equal("2", await one.GetAsync("key", () => "2", ["tag"]));
    }

    /// <summary>
    /// What a failover to a replica that lags behind looks like from here: the server is back with a state that was, and messages are lost.
    /// </summary>
    [Fact]
    public async Task Failover_TheNewestWritesAndMessagesAreLost_WhatTheNodesKnowOfTagsHolds()
    {
        await using RedisServer server = await RedisServer.StartNewAsync();
        await using RedisNode one = await RedisNode.StartAsync(server.Endpoint, "o:", RedisNode.Impatient);
        await using RedisNode two = await RedisNode.StartAsync(server.Endpoint, "o:", RedisNode.Impatient);
        await one.UntilUpAsync();
        await two.UntilUpAsync();
        await one.GetAsync("key", () => "1", ["tag"]);
        await one.Cache.Writer.DrainAsync(Eventually.Patience);
        Assert.Equal("1", await two.GetAsync("key", () => "1", ["tag"]));
        await using (var connection = new RedisConnection(new RedisOptions { Configuration = server.Endpoint }))
        {
            await (await connection.GetAsync()).GetDatabase().ExecuteAsync("SAVE").OnPool(); // what the replica has got
        }

        await one.Cache.RemoveByTagAsync("tag");
        await server.KillAsync();
        await server.StartAsync();
        await Eventually.TrueAsync(() => one.Cache.Upkeep.Link!.IsUp && two.Cache.Upkeep.Link!.IsUp, "both hear again");
        await Eventually.TrueAsync(() => one.Cache.Snapshot() is { SharedState: SharedTierState.Closed, ReplaysPending: 0 }, "made good");
        Assert.Equal("2", await one.GetAsync("key", () => "2", ["tag"]));
        await Eventually.TrueAsync(async () => await two.GetAsync("key", () => "2", ["tag"]) == "2", "the other node has found out");
        await one.Cache.Writer.DrainAsync(Eventually.Patience);
        await using RedisNode fresh = await RedisNode.StartAsync(server.Endpoint, "o:");
        Assert.Equal("2", await fresh.GetAsync("key", () => "2", ["tag"]));
    }

    [Fact]
    public async Task Backplane_MessagesAreLost_TheNodeFindsOutAndCompares()
    {
        await using RedisServer server = await RedisServer.StartNewAsync();
        await using ChaosProxy proxy = ChaosProxy.Start(server);
        await using RedisNode one = await RedisNode.StartAsync(server.Endpoint, "m:");
        await using RedisNode two = await RedisNode.StartAsync(proxy.Endpoint, "m:", RedisNode.Impatient);
        await using RedisNode witness = await RedisNode.StartAsync(server.Endpoint, "m:");
        await one.UntilUpAsync();
        await two.UntilUpAsync();
        await witness.UntilUpAsync();
        await one.GetAsync("key", () => "1");
        await one.GetAsync("same", () => "same");
        await one.Cache.Writer.DrainAsync(Eventually.Patience);
        Assert.Equal("1", await two.GetAsync("key", () => "?"));
        Assert.Equal("same", await two.GetAsync("same", () => "?"));
        Assert.Equal("1", await witness.GetAsync("key", () => "?"));
        proxy.RefusesNew = true;
        proxy.Cut();
        await one.Cache.SetAsync("key", "2");
        await Eventually.TrueAsync(() => witness.Cache.TryGet<string>("key") is not { HasValue: true, IsStale: false }, "the message has gone by");
        long distrusted = two.Cache.Snapshot().Distrusted;
        proxy.RefusesNew = false;
        proxy.Heal();
        await Eventually.TrueAsync(() => two.Cache.Upkeep.Link!.IsUp && two.Cache.Snapshot().Distrusted > distrusted && two.Cache.Snapshot().SharedState == SharedTierState.Closed, "the node hears again");
        Assert.Equal("2", await two.GetAsync("key", () => "?"));

        // What did not change is compared and kept, not loaded anew.
        Assert.Equal("same", await two.GetAsync("same", () => "?"));
        Assert.Equal(0, two.Cache.Snapshot().SourceLoads);
    }

    [Fact]
    public async Task Acl_OnlyTheDocumentedCommands_Suffice()
    {
        await using RedisServer server = await RedisServer.StartNewAsync($"user default on >secret resetkeys ~a:* resetchannels &a:* -@all {Commands}");
        await using RedisNode one = await RedisNode.StartAsync($"{server.Endpoint},password=secret", "a:", options => options.Shared.Leases = true);
        await using RedisNode two = await RedisNode.StartAsync($"{server.Endpoint},password=secret", "a:", options => options.Shared.Leases = true);
        await one.UntilUpAsync();
        await two.UntilUpAsync();
        await one.GetAsync("key", () => "1", ["tag"]);
        await one.Cache.Writer.DrainAsync(Eventually.Patience);
        Assert.Equal("1", await two.GetAsync("key", () => "?", ["tag"]));
        await one.Cache.ExpireAsync("key");
        await one.Cache.SetAsync("key", "2");
        await one.Cache.RemoveAsync("key");
        await one.Cache.RemoveByTagAsync("tag");
        await one.Cache.ExpireByTagAsync("tag");
        await one.Cache.ClearAsync();
        await Eventually.TrueAsync(() => two.Cache.TryGet<string>("key") is not { HasValue: true }, "heard");
        Assert.Equal("3", await two.GetAsync("key", () => "3", ["tag"]));
        Assert.Empty(one.Failures);
        Assert.Empty(two.Failures);
    }

    [Fact]
    public async Task Acl_OnlyTheDocumentedCommands_SufficeForGuardLimitsAndOverrides()
    {
        await using RedisServer server = await RedisServer.StartNewAsync($"user default on >secret resetkeys ~a:* resetchannels &a:* -@all {Commands}");
        await using var connection = new RedisConnection(new RedisOptions { Configuration = $"{server.Endpoint},password=secret", KeyPrefix = "a:" });
        var journal = new RedisGuardJournal(connection, "guard");
        ulong epoch = (await journal.OpenAsync(default)).Epoch;
        await journal.AppendAsync(epoch, [1, 2], TimeSpan.Zero, default);
        await journal.AppendAsync(epoch, [3], TimeSpan.FromMinutes(1), default);
        GuardJournalHead head = await journal.OpenAsync(default);
        await journal.ReadAsync(epoch, head.First, TimeSpan.FromMilliseconds(1), default);
        await journal.IsConfirmedAsync(epoch, head.Position, TimeSpan.Zero, default);
        await journal.WaitAsync(TimeSpan.FromMilliseconds(1), default);
        await journal.AbandonAsync(epoch, default);
        await using var limiter = new RedisRateLimiter(connection, "limit", new RedisRateLimiterOptions { Timeout = TimeSpan.FromSeconds(10) });
        Assert.True((await limiter.AcquireAsync()).IsAcquired);
        Assert.False(limiter.IsAway);
        await using OverrideNode node = await OverrideNode.StartAsync($"{server.Endpoint},password=secret", "a:");
        await node.Degradation.OverrideAsync(Feature.Declare("redis-acl"), FeatureState.Off, "a test", "the test");
        Assert.Empty(node.Logs.WithId(4012));
        Assert.Empty(node.Logs.WithId(4013));
    }

    private static async Task StrikeAsync(string fault, RedisServer server, ChaosProxy proxy)
    {
        switch (fault)
        {
            case "kill":
                await server.KillAsync();
                break;
            case "stall":
                proxy.ToServer.Stalled = true;
                proxy.ToClient.Stalled = true;
                break;
            case "cut":
                proxy.RefusesNew = true;
                proxy.Cut();
                break;
            case "slow":
                proxy.ToClient.Delay = TimeSpan.FromSeconds(2);
                break;
        }
    }

    private static async Task MendAsync(string fault, RedisServer server, ChaosProxy proxy)
    {
        if (fault == "kill")
        {
            await server.StartAsync();
            return;
        }

        proxy.ToServer.Stalled = false;
        proxy.ToClient.Stalled = false;
        proxy.ToClient.Delay = TimeSpan.Zero;
        proxy.RefusesNew = false;
        proxy.Heal();
    }
}
