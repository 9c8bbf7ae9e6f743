using System.Collections.Concurrent;
using Resilience.Caching.Backplane;
using Resilience.Caching.Shared;
using Resilience.Caching.Tests.Shared;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Backplane;

/// <summary>Words that would be lost without anybody noticing.</summary>
public sealed class LostWordTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly FakeSharedTier _tier = new();

    [Fact]
    public async Task Lost_AgainWhileTheWordOfItIsOnItsWay_IsSaidAgain()
    {
        await using ResilientCache cache = TestCache.New(_time, static options => options.Shared.Backplane.MaxPending = 16, _tier);
        var sent = new ConcurrentQueue<ChangeKind>();
        var published = new SemaphoreSlim(0);
        var gates = new ConcurrentQueue<TaskCompletionSource>();
        bool isOver = false;
        var channel = new GatedBackplane(async body =>
        {
            Assert.True(ChangeCodec.TryRead(body, out _, out Change[] changes));
            var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            gates.Enqueue(gate);
            foreach (Change change in changes)
            {
                sent.Enqueue(change.Kind);
            }

            published.Release();
            await (Volatile.Read(ref isOver) ? Task.CompletedTask : gate.Task);
        });
        var announcer = new Announcer(cache.Core, channel, "channel", 1);
        announcer.Announce(Removed("first"));
        await NextAsync();
        Overflow("one");
        Open();
        await NextAsync();
        Assert.Equal(ChangeKind.Lost, sent.Last()); // on its way; others compare as of now
        Overflow("two");
        Open();
        await NextAsync();
        Assert.Equal(ChangeKind.Lost, sent.Last());
        Assert.Equal(2, sent.Count(kind => kind == ChangeKind.Lost));
        Volatile.Write(ref isOver, true);
        Open();
        TestCache.Until(() => announcer.Waiting == 0, "the rest");

        void Overflow(string name)
        {
            for (int i = 0; i < 17; i++)
            {
                announcer.Announce(Removed($"{name}{i}"));
            }
        }

        async Task NextAsync() => Assert.True(await published.WaitAsync(TimeSpan.FromSeconds(30)));

        void Open()
        {
            Assert.True(gates.TryDequeue(out TaskCompletionSource? gate));
            gate.SetResult();
        }
    }

    [Fact]
    public async Task Subscribe_ComesTrueAfterPatienceHasEnded_IsGivenUpAgain()
    {
        var slow = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        int subscriptions = 0;
        _tier.Before = call => call == "subscribe" && Interlocked.Increment(ref subscriptions) == 1 ? slow.Task : Task.CompletedTask;
        await using ResilientCache cache = TestCache.New(_time, static options => options.Shared.Backplane.Heartbeat = TimeSpan.FromMinutes(2), _tier, hasBackplane: true);
        cache.Upkeep.Start();
        await _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(100), () => cache.Upkeep.Link!.IsUp, "the second subscription");
        Assert.True(subscriptions >= 2);
        Assert.Equal(1, _tier.Listeners);
        slow.SetResult();
        TestCache.Until(() => _tier.HasSubscribed >= 2 && _tier.Listeners == 1, "the end of the first subscription");
    }

    /// <summary>Whatever lost the counter begins it anew, and anybody may send a number that is none.</summary>
    [Theory]
    [InlineData(long.MaxValue)]
    [InlineData(1L << 60)]
    public void Tracker_NumberFarAhead_NumbersGoOnWhereTheyWere_LossesAreStillFound(long absurd)
    {
        var tracker = new SequenceTracker();
        Assert.True(tracker.Take(5_000, 0));
        Assert.True(tracker.Take(absurd, 0));
        Assert.False(tracker.Check(1_000, 250));
        Assert.False(tracker.Take(5_001, 1_000)); // begun anew: something may be missing
        Assert.True(tracker.Take(5_002, 1_000));
        Assert.True(tracker.Take(5_004, 1_000));
        Assert.False(tracker.Check(2_000, 250)); // 5,003
    }

    private static Change Removed(string key) => new(ChangeKind.Key, key, 7, default);

    private sealed class GatedBackplane(Func<byte[], Task> publish) : IBackplane
    {
        private long _sequence;

        public Task<IAsyncDisposable> SubscribeAsync(string channel, Action<BackplaneMessage> onMessage, Action<bool> onConnection, CancellationToken cancellationToken) => throw new NotSupportedException();

        public async Task<long> PublishAsync(string channel, byte[] body, CancellationToken cancellationToken)
        {
            await publish(body);
            return Interlocked.Increment(ref _sequence);
        }
    }
}
