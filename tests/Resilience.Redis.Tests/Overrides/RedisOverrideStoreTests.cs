using Resilience.Degrade;
using Resilience.Redis.Overrides;
using Resilience.Redis.Tests.Caching;
using Resilience.TestKit;
using StackExchange.Redis;

namespace Resilience.Redis.Tests.Overrides;

/// <summary>The store by itself.</summary>
public sealed class RedisOverrideStoreTests : IAsyncLifetime
{
    private static readonly OverrideCodec Codec = new(OverrideNode.Key);
    private readonly LogCollector _logs = new();
    private RedisServer _server = null!;
    private ChaosProxy _proxy = null!;
    private RedisConnection _connection = null!;
    private RedisConnection _proxied = null!;
    private RedisOverrideStore _one = null!;
    private RedisOverrideStore _two = null!;

    public async ValueTask InitializeAsync()
    {
        _server = await RedisServer.StartNewAsync();
        _proxy = ChaosProxy.Start(_server);
        _connection = new RedisConnection(new RedisOptions { Configuration = _server.Endpoint });
        _proxied = new RedisConnection(new RedisOptions { Configuration = _proxy.Endpoint, ConnectTimeout = TimeSpan.FromMilliseconds(500) });
        _one = new RedisOverrideStore(_connection, Codec, TimeProvider.System, _logs.CreateLogger<RedisOverrideStore>());
        _two = new RedisOverrideStore(_proxied, Codec, TimeProvider.System, _logs.CreateLogger<RedisOverrideStore>());

        // Connected first: a connection that takes its time is no answer within the store's timeout.
        foreach (RedisConnection connection in (RedisConnection[])[_connection, _proxied])
        {
            await Eventually.TrueAsync(async () => await connection.TryPingAsync(TimeSpan.FromSeconds(10)) is not null, "Redis answers");
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _connection.DisposeAsync();
        await _proxied.DisposeAsync();
        await _proxy.DisposeAsync();
        await _server.DisposeAsync();
    }

    [Fact]
    public async Task Append_Commands_AreLoadedByAnotherNodeTheLastOfEachFeature()
    {
        OverrideCommand off = await _one.AppendAsync(Command("comments", FeatureState.Off), default);
        OverrideCommand other = await _two.AppendAsync(Command("Recommendations", FeatureState.Degraded), default);
        OverrideCommand lifted = await _two.AppendAsync(Command("Comments", null), default);
        Assert.True(off.Revision > 0 && other.Revision > off.Revision && lifted.Revision > other.Revision);
        Assert.Equal([lifted, other], (await _one.LoadAsync(default)).OrderBy(command => command.Feature, StringComparer.Ordinal));
    }

    [Fact]
    public async Task Append_NodeKnowsMoreThanTheStore_GoesOnFromThere()
    {
        Assert.Equal(42, (await _one.AppendAsync(Command("comments", FeatureState.Off) with { Revision = 41 }, default)).Revision);
        await EvalAsync("return redis.call('DEL', KEYS[1])");
        Assert.Equal(43, (await _two.AppendAsync(Command("comments", null) with { Revision = 42 }, default)).Revision);
    }

    [Fact]
    public async Task Append_ManyNodesAtOnce_AllHaveTheirPlaceAndTheHighestStays()
    {
        OverrideCommand[] kept = await Task.WhenAll(Enumerable.Range(0, 16).Select(i => Task.Run(async () => await (i % 2 == 0 ? _one : _two).AppendAsync(Command("comments", i % 3 == 0 ? null : FeatureState.Off), default))));
        Assert.Equal(16, kept.Select(command => command.Revision).Distinct().Count());
        Assert.Equal(kept.MaxBy(command => command.Revision), Assert.Single(await _one.LoadAsync(default)));
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData("{\"feature\":\"comments\",\"state\":\"Off\",\"reason\":\"r\",\"who\":\"w\",\"issued\":1,\"ttl\":1,\"revision\":999999,\"nonce\":\"n\"}")]
    [InlineData("another key")]
    [InlineData("changed")]
    public async Task Load_WhatIsNotRightlySigned_CountsForNothing(string text)
    {
        string bad = text switch
        {
            "another key" => new OverrideCodec(new byte[32]).Write(Command("comments", FeatureState.Normal) with { Revision = 999 }),
            "changed" => Codec.Write(Command("comments", FeatureState.Off) with { Revision = 999 }).Replace("Off", "Normal", StringComparison.Ordinal),
            _ => text,
        };
        await EvalAsync("return redis.call('HSET', KEYS[1], 'COMMENTS', ARGV[1])", bad);
        Assert.Empty(await _one.LoadAsync(default));
        Assert.Empty(await _one.LoadAsync(default));
        LogEntry told = Assert.Single(_logs.WithId(7010));
        Assert.DoesNotContain("comments", told.Message, StringComparison.Ordinal);

        // Nor does it stand in the way of a right one.
        OverrideCommand kept = await _one.AppendAsync(Command("comments", FeatureState.Off), default);
        Assert.Equal(1, kept.Revision);
        Assert.Equal(kept, Assert.Single(await _two.LoadAsync(default)));
    }

    [Fact]
    public async Task Watch_CommandsOfAnotherNode_ComeAndUnsignedOnesDoNot()
    {
        await using IAsyncEnumerator<OverrideCommand> heard = _two.WatchAsync(TestContext.Current.CancellationToken).GetAsyncEnumerator(TestContext.Current.CancellationToken);
        Task<bool> first = heard.MoveNextAsync().AsTask();
        await Eventually.TrueAsync(async () => (long)await EvalAsync("return redis.call('PUBLISH', ARGV[1], ARGV[2])", "channel:overrides", "forged") == 1, "it listens");
        OverrideCommand kept = await _one.AppendAsync(Command("comments", FeatureState.Off), default);
        Assert.True(await first);
        Assert.Equal(kept, heard.Current);
    }

    [Fact]
    public async Task Cut_AppendAndLoadFailWithinTheirBound_TheStreamEnds()
    {
        await using IAsyncEnumerator<OverrideCommand> heard = _two.WatchAsync(TestContext.Current.CancellationToken).GetAsyncEnumerator(TestContext.Current.CancellationToken);
        Task<bool> next = heard.MoveNextAsync().AsTask();
        await Eventually.TrueAsync(async () => (long)await EvalAsync("return redis.call('PUBLISH', ARGV[1], '')", "channel:overrides") == 1, "it listens");
        _proxy.RefusesNew = true;
        _proxy.Cut();
        Assert.False(await next);
        await Assert.ThrowsAnyAsync<Exception>(async () => await _two.AppendAsync(Command("comments", FeatureState.Off), default));
        await Assert.ThrowsAnyAsync<Exception>(async () => await _two.LoadAsync(default));
        _proxy.RefusesNew = false;
        _proxy.Heal();
        await Eventually.TrueAsync(
            async () =>
            {
                try
                {
                    await _two.AppendAsync(Command("comments", FeatureState.Off), default);
                    return true;
                }
                catch (Exception exception) when (exception is RedisException or TimeoutException)
                {
                    return false;
                }
            },
            "it can write again");
        Assert.NotEmpty(await _one.LoadAsync(default));
    }

    private static OverrideCommand Command(string feature, FeatureState? state) => new()
    {
        Feature = feature,
        State = state,
        Reason = "a test",
        Who = "the test",
        IssuedAt = DateTimeOffset.FromUnixTimeMilliseconds(DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()),
        Ttl = TimeSpan.FromMinutes(10),
        Nonce = Guid.NewGuid().ToString("N"),
    };

    private async Task<RedisResult> EvalAsync(string script, params string[] arguments) =>
        await (await _connection.GetAsync()).GetDatabase().ScriptEvaluateAsync(script, ["overrides"], Array.ConvertAll(arguments, argument => (RedisValue)argument), CommandFlags.None).OnPool();
}
