using System.Collections;
using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching;
using Resilience.Caching.Guard;
using Resilience.Degrade;
using Resilience.Redis.Guard;
using Resilience.Redis.Tests.Caching;
using Resilience.Redis.Tests.Overrides;
using Resilience.TestKit;

namespace Resilience.Redis.Tests;

/// <summary>Connections over which nothing comes any more though Redis is there, and of which the client says that they are connected.</summary>
public sealed class ReconnectTests(SharedRedis redis) : IAsyncLifetime
{
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(1);
    private readonly string _prefix = $"{Guid.NewGuid():N}:";
    private RedisServer _server = null!;
    private ChaosProxy _proxy = null!;
    private RedisConnection _connection = null!;

    public async ValueTask InitializeAsync()
    {
        _server = await redis.GetAsync();
        _proxy = ChaosProxy.Start(_server);
        _connection = new RedisConnection(new RedisOptions { Configuration = _proxy.Endpoint, KeyPrefix = _prefix, ReconnectAfter = Bound });
    }

    public async ValueTask DisposeAsync()
    {
        await _connection.DisposeAsync();
        await _proxy.DisposeAsync();
    }

    [Fact]
    public async Task Peer_VanishesWithoutAWord_AnotherConnectionTakesItsPlace()
    {
        await UntilAnsweredAsync();
        _proxy.Forget();
        await UntilAnsweredAsync();
        await Eventually.TrueAsync(() => _proxy.Open == 2, "the old connections, one for commands and one for messages, are closed");
    }

    /// <summary>
    /// The state that a race leaves client 1.2.6 in: a message of its own, queued while it reconnects, arrives in the queue after the writer has left it.
    /// The next ones find the queue not empty, take the writer for woken, and wait behind it for ever.
    /// </summary>
    [Theory]
    [InlineData("interactive")]
    [InlineData("subscription")]
    public async Task Client_IsStuckThoughConnected_AnotherTakesItsPlace(string bridge)
    {
        _connection.Replaced += (_, _) => { }; // somebody listens
        await UntilAnsweredAsync();
        object multiplexer = await _connection.GetAsync();
        object endPoint = ((IList)Field(multiplexer, "serverSnapshot"))[0]!;
        object message = endPoint.GetType().GetMethod("GetTracerMessage", BindingFlags.Instance | BindingFlags.NonPublic)!.Invoke(endPoint, [false])!;
        object queue = Field(Field(endPoint, bridge), "queue");
        queue.GetType().GetMethod("Push")!.Invoke(queue, [message]);
        Assert.True(_connection.IsConnected);
        await Eventually.TrueAsync(async () => !ReferenceEquals(await _connection.GetAsync(), multiplexer), "another takes its place");
        await UntilAnsweredAsync();
    }

    [Fact]
    public async Task Cache_PeerVanishes_TheNodeHearsAgain()
    {
        await using RedisNode one = await RedisNode.StartAsync(_proxy.Endpoint, _prefix, RedisNode.Impatient, services => services.Configure<RedisOptions>("Redis", options => options.ReconnectAfter = Bound));
        await using RedisNode two = await RedisNode.StartAsync(_server.Endpoint, _prefix);
        await one.UntilUpAsync();
        await two.UntilUpAsync();
        _proxy.Forget();
        await Eventually.TrueAsync(() => !one.Cache.Upkeep.Link!.IsUp, "the node knows that it is deaf");
        await one.UntilUpAsync();
        await Eventually.TrueAsync(() => one.Cache.Snapshot().SharedState == SharedTierState.Closed, "the shared tier is used");
        await one.GetAsync("key", () => "old", ["tag"]);
        await two.Cache.RemoveByTagAsync("tag");
        await Eventually.TrueAsync(() => one.Cache.TryGet<string>("key") is not { HasValue: true, IsStale: false }, "it has dropped its copy");
        Assert.Equal("new", await one.GetAsync("key", () => "new", ["tag"]));
    }

    [Fact]
    public async Task Overrides_PeerVanishes_TheStreamEndsAndTheNextOneHears()
    {
        var codec = new OverrideCodec(OverrideNode.Key);
        using var logs = new LogCollector();
        var store = new Redis.Overrides.RedisOverrideStore(_connection, codec, TimeProvider.System, logs.CreateLogger<Redis.Overrides.RedisOverrideStore>());
        await UntilAnsweredAsync();
        await using (IAsyncEnumerator<OverrideCommand> heard = store.WatchAsync(TestContext.Current.CancellationToken).GetAsyncEnumerator(TestContext.Current.CancellationToken))
        {
            Task<bool> next = heard.MoveNextAsync().AsTask();
            await store.AppendAsync(Command(), TestContext.Current.CancellationToken);
            await Eventually.TrueAsync(async () => next.IsCompleted || await AppendAsync(), "it listens");
            Assert.True(await next);
            _proxy.Forget();
            await UntilAnsweredAsync();
            while (await heard.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken))
            {
                // What was heard before the peer vanished.
            }
        }

        await using IAsyncEnumerator<OverrideCommand> again = store.WatchAsync(TestContext.Current.CancellationToken).GetAsyncEnumerator(TestContext.Current.CancellationToken);
        Task<bool> first = again.MoveNextAsync().AsTask();
        await Eventually.TrueAsync(async () => first.IsCompleted || await AppendAsync(), "it listens again");
        Assert.True(await first);

        async Task<bool> AppendAsync()
        {
            await store.AppendAsync(Command(), TestContext.Current.CancellationToken);
            return false;
        }

        static OverrideCommand Command() => new() { Feature = "comments", State = FeatureState.Off, Reason = "a test", Who = "the test", IssuedAt = DateTimeOffset.UnixEpoch };
    }

    [Fact]
    public async Task Journal_PeerVanishes_AnnouncementsAreHeardAgain()
    {
        await using var other = new RedisConnection(new RedisOptions { Configuration = _server.Endpoint, KeyPrefix = _prefix });
        var writer = new RedisGuardJournal(other, "products");
        var follower = new RedisGuardJournal(_connection, "products");
        ulong epoch = (await writer.OpenAsync(default)).Epoch;
        await UntilAnsweredAsync();
        await UntilHeardAsync();
        _proxy.Forget();
        await UntilAnsweredAsync();
        await follower.WaitAsync(TimeSpan.FromMilliseconds(1), TestContext.Current.CancellationToken); // what may have been announced before
        await UntilHeardAsync();

        async Task UntilHeardAsync()
        {
            Task waiting = follower.WaitAsync(TimeSpan.FromHours(1), TestContext.Current.CancellationToken).AsTask();
            await Eventually.TrueAsync(
                async () =>
                {
                    await writer.AppendAsync(epoch, [1], TimeSpan.FromMinutes(1), TestContext.Current.CancellationToken);
                    return waiting.IsCompleted;
                },
                "the follower hears");
            await waiting;
        }
    }

    private Task UntilAnsweredAsync() => Eventually.TrueAsync(async () => await _connection.TryPingAsync(TimeSpan.FromSeconds(1)) is not null, "Redis answers");

    private static object Field(object of, string name) =>
        of.GetType().GetField(name, BindingFlags.Instance | BindingFlags.NonPublic)?.GetValue(of) ?? throw new InvalidOperationException($"This client has no {of.GetType().Name}.{name}.");
}
