using Resilience.TestKit;
using StackExchange.Redis;

namespace Resilience.Redis.Tests;

/// <summary>When a multiplexer gives way to a new one, by the manual clock and with clients that answer as they are told to.</summary>
public sealed class RedisConnectionTests
{
    private static readonly RedisOptions Options = new() { Configuration = "server:6379" };
    private readonly ManualTimeProvider _time = new();
    private readonly LogCollector _logs = new();
    private bool _listens = true;
    private int _made;
    private int _replaced;

    [Theory]
    [InlineData("commands", false)]
    [InlineData("commands", true)]
    [InlineData("server:6379", false)]
    [InlineData("messages", false)]
    public async Task Used_NoAnswerForAsLongAsTheBound_GivesWayToOneThatIsAnswered(string silent, bool failsAtOnce)
    {
        var old = new FakeClient { FailsAtOnce = failsAtOnce };
        var fresh = new FakeClient();
        await using RedisConnection connection = Connect(old, fresh);
        Assert.Same(old.Multiplexer, await connection.GetAsync());
        old.Silence(silent);
        long began = _time.GetTimestamp();
        await UntilAsync(connection, () => connection.IsCurrent(fresh.Multiplexer), "the new one is taken");
        Assert.True(_time.GetElapsedTime(began) >= Options.ReconnectAfter, "Too soon.");
        Assert.Same(fresh.Multiplexer, await connection.GetAsync());
        await Eventually.TrueAsync(() => old.IsClosed && _replaced == 1, "the old one is closed, and whoever listens was told");
        Assert.False(fresh.IsClosed);
        Assert.Contains($"({silent})", Assert.Single(_logs.WithId(7020)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Used_TheNewOneIsSilentToo_StaysAndTriesAgain()
    {
        FakeClient[] clients = [new(), new(), new()];
        await using RedisConnection connection = Connect(clients);
        await connection.GetAsync();
        clients[0].Silence("commands");
        clients[1].Silence("commands");
        await UntilAsync(connection, () => clients[1].IsClosed, "the second one is closed");
        Assert.True(connection.IsCurrent(clients[0].Multiplexer));
        Assert.Equal(0, _replaced);
        long began = _time.GetTimestamp();
        await UntilAsync(connection, () => connection.IsCurrent(clients[2].Multiplexer), "the third one is taken");
        Assert.True(_time.GetElapsedTime(began) >= Options.ReconnectAfter / 2, "Tried again too soon.");
    }

    [Fact]
    public async Task Used_AnswersAgainAtTheLastMoment_Stays()
    {
        var old = new FakeClient();
        var fresh = new FakeClient();
        await using RedisConnection connection = Connect(() => old.Silence("commands", isSilent: _made == 1), old, fresh);
        await connection.GetAsync();
        await UntilAsync(connection, () => fresh.IsClosed, "the new one is closed");
        Assert.True(connection.IsCurrent(old.Multiplexer));
        Assert.False(old.IsClosed);
        Assert.Equal(0, _replaced);
    }

    [Fact]
    public async Task Used_NoConnectionCanBeMade_StaysAndTriesAgain()
    {
        var old = new FakeClient();
        await using RedisConnection connection = Connect(old);
        await connection.GetAsync();
        old.Silence("commands");
        await UntilAsync(connection, () => _made >= 4, "it tries again and again");
        Assert.True(connection.IsCurrent(old.Multiplexer));
        Assert.False(old.IsClosed);
    }

    [Fact]
    public async Task Used_TheServerSaysAnError_IsNoSilence()
    {
        var old = new FakeClient { Error = FakeClient.Failure<RedisServerException>("NOPERM this user has no permissions to run the 'ping' command") };
        await using RedisConnection connection = Connect(old, new FakeClient());
        int beats = 0;
        await UntilAsync(connection, () => beats++ == 40, "ten times the bound is over");
        Assert.True(old.Pings >= 40, $"{old.Pings} pings.");
        Assert.Equal(1, _made);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task NotUsed_NobodyIsAskedUnlessSomebodyListens(bool listens)
    {
        var old = new FakeClient { FailsAtOnce = true };
        _listens = listens;
        await using RedisConnection connection = Connect(old, new FakeClient());
        await connection.GetAsync();
        old.Silence("commands");
        for (int i = 0; i < 40; i++)
        {
            await _time.WaitForTimersAsync();
            _time.Advance(Options.ReconnectAfter / 4);
        }

        Assert.Equal(listens, connection.IsCurrent(old.Multiplexer) is false);
        Assert.True(listens || old.Pings == 2, $"{old.Pings} pings, where two are due after the one use.");
    }

    [Fact]
    public async Task HandedIn_IsNeverWatched()
    {
        var own = new FakeClient();
        await using (var connection = new RedisConnection(Options, () => Task.FromResult(own.Multiplexer), isOwn: false, _time, _logs.CreateLogger<RedisConnection>()))
        {
            Assert.Same(own.Multiplexer, await connection.GetAsync());
            Assert.Equal(0, _time.ArmedTimers);
        }

        Assert.False(own.IsClosed);
    }

    [Fact]
    public async Task Dispose_WhileANewOneIsMade_DoesNotWaitForItAndClosesIt()
    {
        var old = new FakeClient();
        var fresh = new FakeClient();
        var making = new TaskCompletionSource<IConnectionMultiplexer>(TaskCreationOptions.RunContinuationsAsynchronously);
        var connection = new RedisConnection(Options, () => ++_made == 1 ? Task.FromResult(old.Multiplexer) : making.Task, isOwn: true, _time, null);
        await connection.GetAsync();
        old.Silence("commands");
        await UntilAsync(connection, () => _made == 2, "a new one is made");
        await connection.DisposeAsync().AsTask().WaitAsync(Eventually.Patience, TestContext.Current.CancellationToken);
        Assert.True(old.IsClosed);
        making.SetResult(fresh.Multiplexer);
        await Eventually.TrueAsync(() => fresh.IsClosed, "the new one is closed");
        await Assert.ThrowsAsync<ObjectDisposedException>(connection.GetAsync);
        Assert.Equal(2, _made);
    }

    private RedisConnection Connect(params FakeClient[] clients) => Connect(() => { }, clients);

    private RedisConnection Connect(Action onConnect, params FakeClient[] clients)
    {
        var connection = new RedisConnection(
            Options,
            () =>
            {
                int index = _made++;
                onConnect();
                return index < clients.Length
                    ? Task.FromResult(clients[index].Multiplexer)
                    : Task.FromException<IConnectionMultiplexer>(FakeClient.Failure<RedisConnectionException>(ConnectionFailureType.UnableToConnect, "no such host"));
            },
            isOwn: true,
            _time,
            _logs.CreateLogger<RedisConnection>());
        if (_listens)
        {
            connection.Replaced += (_, _) => Interlocked.Increment(ref _replaced);
        }

        return connection;
    }

    /// <summary>Uses the connection and moves the clock on by one beat at a time, or by the patience for one answer.</summary>
    private async Task UntilAsync(RedisConnection connection, Func<bool> condition, string what) =>
        await Eventually.TrueAsync(
            async () =>
            {
                await connection.GetAsync();
                if (_time.ArmedTimers > 0)
                {
                    _time.Advance(_time.NextDue ?? TimeSpan.Zero);
                }

                return condition();
            },
            what);
}
