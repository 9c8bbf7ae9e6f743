using Resilience.Context;
using Resilience.Degrade;
using Resilience.Redis.Tests.Caching;
using Resilience.TestKit;
using StackExchange.Redis;

namespace Resilience.Redis.Tests.Overrides;

/// <summary>Overrides of two nodes over one Redis, from the operator to the feature.</summary>
public sealed class SharedOverridesTests : IAsyncLifetime
{
    private static readonly Feature Comments = Feature.Declare("redis-override-comments", Priority.Low);
    private RedisServer _server = null!;

    public async ValueTask InitializeAsync() => _server = await RedisServer.StartNewAsync();

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Fact]
    public async Task Override_OnOneNode_HoldsOnBothUntilItIsLifted()
    {
        await using OverrideNode one = await OverrideNode.StartAsync(_server.Endpoint, "o:");
        await using OverrideNode two = await OverrideNode.StartAsync(_server.Endpoint, "o:");
        await one.Degradation.OverrideAsync(Comments, FeatureState.Off, "too many", "me");
        Assert.Equal(FeatureState.Off, one.Degradation.StateOf(Comments));
        await UntilAsync(two, FeatureState.Off);
        Assert.Contains("too many", two.Degradation.Decide(Comments).Reason, StringComparison.Ordinal);
        await two.Degradation.LiftOverrideAsync(Comments, "calm again", "you");
        await UntilAsync(one, FeatureState.Normal);
    }

    [Fact]
    public async Task Start_OverridesAreInForce_BeforeTheHostHasStarted()
    {
        await using (OverrideNode one = await OverrideNode.StartAsync(_server.Endpoint, "o:"))
        {
            await one.Degradation.OverrideAsync(Comments, FeatureState.Off, "too many", "me");
        }

        await using OverrideNode two = await OverrideNode.StartAsync(_server.Endpoint, "o:");
        await UntilAsync(two, FeatureState.Off);
    }

    [Fact]
    public async Task Redis_IsLostAndComesBackEmpty_ChangesNothing()
    {
        await using ChaosProxy proxy = ChaosProxy.Start(_server);
        await using OverrideNode one = await OverrideNode.StartAsync(proxy.Endpoint, "o:");
        await one.Degradation.OverrideAsync(Comments, FeatureState.Degraded, "too many", "me");
        proxy.RefusesNew = true;
        proxy.Cut();

        // Doing less works on the node at hand; doing more wants the store.
        await one.Degradation.OverrideAsync(Comments, FeatureState.Off, "far too many", "me");
        Assert.Equal(FeatureState.Off, one.Degradation.StateOf(Comments));
        await Assert.ThrowsAnyAsync<Exception>(async () => await one.Degradation.LiftOverrideAsync(Comments, "calm again", "me"));
        Assert.Equal(FeatureState.Off, one.Degradation.StateOf(Comments));
        await _server.KillAsync();
        await _server.StartAsync();
        proxy.RefusesNew = false;
        proxy.Heal();
        await Eventually.TrueAsync(
            async () =>
            {
                Assert.Equal(FeatureState.Off, one.Degradation.StateOf(Comments));
                try
                {
                    await one.Degradation.LiftOverrideAsync(Comments, "calm again", "me");
                    return true;
                }
                catch (Exception exception) when (exception is RedisException or TimeoutException)
                {
                    return false;
                }
            },
            "the store is back");
        Assert.Equal(FeatureState.Normal, one.Degradation.StateOf(Comments));

        // The empty Redis has gone on above what the node knew: another node takes it.
        await using OverrideNode two = await OverrideNode.StartAsync(_server.Endpoint, "o:");
        await two.Degradation.OverrideAsync(Comments, FeatureState.Off, "again", "you");
        await UntilAsync(one, FeatureState.Off);
    }

    [Fact]
    public async Task Redis_WasAwayFromOneNode_WhatItsOperatorSaidReachesTheOthersWhenItIsBack()
    {
        await using ChaosProxy proxy = ChaosProxy.Start(_server);
        await using OverrideNode one = await OverrideNode.StartAsync(proxy.Endpoint, "o:");
        await using OverrideNode two = await OverrideNode.StartAsync(_server.Endpoint, "o:");
        proxy.RefusesNew = true;
        proxy.Cut();
        await one.Degradation.OverrideAsync(Comments, FeatureState.Off, "far too many", "me");
        Assert.Equal(FeatureState.Off, one.Degradation.StateOf(Comments));
        Assert.Equal(FeatureState.Normal, two.Degradation.StateOf(Comments));
        proxy.RefusesNew = false;
        proxy.Heal();
        await UntilAsync(two, FeatureState.Off);
        Assert.Equal("far too many (me)", two.Degradation.Decide(Comments).Reason);
        Assert.Equal(FeatureState.Off, one.Degradation.StateOf(Comments));
    }

    [Fact]
    public async Task Start_RedisIsAway_TheLastKnownGoodHolds()
    {
        string folder = Directory.CreateTempSubdirectory("overrides").FullName;
        try
        {
            string file = Path.Combine(folder, "overrides");
            await using (OverrideNode one = await OverrideNode.StartAsync(_server.Endpoint, "o:", file))
            {
                await one.Degradation.OverrideAsync(Comments, FeatureState.Off, "too many", "me");
            }

            await _server.KillAsync();
            await using OverrideNode again = await OverrideNode.StartAsync(_server.Endpoint, "o:", file);
            await UntilAsync(again, FeatureState.Off);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task Replay_OlderCommandIsPutBack_IsRefusedEvenAfterARestart()
    {
        string folder = Directory.CreateTempSubdirectory("overrides").FullName;
        try
        {
            string file = Path.Combine(folder, "overrides");
            await using var connection = new RedisConnection(new RedisOptions { Configuration = _server.Endpoint });
            IDatabase database = (await connection.GetAsync()).GetDatabase();
            RedisValue old;
            await using (OverrideNode one = await OverrideNode.StartAsync(_server.Endpoint, "o:", file))
            {
                await one.Degradation.OverrideAsync(Comments, FeatureState.Off, "too many", "me");
                old = await database.HashGetAsync("o:overrides", Comments.Name.ToUpperInvariant(), CommandFlags.None).OnPool();
                Assert.False(old.IsNull);
                await one.Degradation.LiftOverrideAsync(Comments, "calm again", "me");

                // Whoever can write to Redis brings the signed command back, in its place and through the channel.
                await database.HashSetAsync("o:overrides", Comments.Name.ToUpperInvariant(), old, When.Always, CommandFlags.None).OnPool();
                await Eventually.TrueAsync(
                    async () =>
                    {
                        await database.PublishAsync(new RedisChannel("o:channel:overrides", RedisChannel.PatternMode.Literal), old, CommandFlags.None).OnPool();
                        return one.Logs.WithId(4011).Count > 0;
                    },
                    "the replay is refused");
                Assert.Equal(FeatureState.Normal, one.Degradation.StateOf(Comments));
            }

            await using OverrideNode again = await OverrideNode.StartAsync(_server.Endpoint, "o:", file);
            Assert.Equal(FeatureState.Normal, again.Degradation.StateOf(Comments));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task Sign_WithAnotherKey_IsNotTaken()
    {
        await using OverrideNode one = await OverrideNode.StartAsync(_server.Endpoint, "o:");
        await using OverrideNode stranger = await OverrideNode.StartAsync(_server.Endpoint, "o:", key: Convert.ToBase64String(new byte[32]));
        await stranger.Degradation.OverrideAsync(Comments, FeatureState.Off, "mischief", "nobody");
        await one.Logs.WaitForAsync(entry => entry.Id.Id == 7010, TimeSpan.FromSeconds(60));
        Assert.Equal(FeatureState.Normal, one.Degradation.StateOf(Comments));
    }

    [Fact]
    public async Task Start_WithoutAKeyOrWithoutRedis_FailsAndSaysWhatToSet()
    {
        InvalidOperationException noKey = await Assert.ThrowsAsync<InvalidOperationException>(() => OverrideNode.StartAsync(_server.Endpoint, "o:", key: ""));
        Assert.Contains("SigningKey", noKey.Message, StringComparison.Ordinal);
        InvalidOperationException noRedis = await Assert.ThrowsAsync<InvalidOperationException>(() => OverrideNode.StartAsync("", "o:"));
        Assert.Contains("Resilience:Redis:Configuration", noRedis.Message, StringComparison.Ordinal);
    }

    private static Task UntilAsync(OverrideNode node, FeatureState state) =>
        Eventually.TrueAsync(() => node.Degradation.StateOf(Comments) == state, $"the node has it {state}");
}
