using Resilience.TestKit;

namespace Resilience.Pools.Tests.Core;

/// <summary>
/// Who serves a waiter holds the entry for a moment, in which everything else may happen. These tests make it happen: the pool reads its clock in the
/// moments in question, and the clock is the test's.
/// </summary>
public sealed class HandOverTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly Factory _factory = new();

    /// <summary>A resource that comes back after the look at what is idle and before the queue: the look after that finds it.</summary>
    [Fact]
    public async Task Acquire_ReturnBetweenLookAndQueue_IsFound()
    {
        var clock = new Clock(_time);
        var pool = new ResourcePool<Resource>("test", _factory, new PoolOptions { MaxSize = 1 }, clock);
        PoolLease<Resource> held = await pool.AcquireAsync();
        clock.OnRead = () =>
        {
            clock.OnRead = null;
            held.Dispose();
            Assert.Equal((1, 0), (pool.Snapshot().Idle, pool.Snapshot().Waiting));
        };
        ValueTask<PoolLease<Resource>> acquire = pool.AcquireAsync();
        Assert.True(acquire.IsCompletedSuccessfully);
        PoolLease<Resource> lease = await acquire;
        Assert.Equal(1, lease.Resource.Id);
        lease.Dispose();
        Assert.Equal((1, 0), (pool.Snapshot().Idle, pool.Snapshot().Waiting));
    }

    /// <summary>Who queued behind somebody who waits although something is idle made the next one queue too, and so on for ever.</summary>
    [Fact]
    public async Task Acquire_SomebodyWaitsThoughSomethingIsIdle_ServesThatOneAndTakesAnother()
    {
        var clock = new Clock(_time);
        var pool = new ResourcePool<Resource>("test", _factory, new PoolOptions { MaxSize = 3 }, clock);
        PoolLease<Resource>[] held = [await pool.AcquireAsync(), await pool.AcquireAsync(), await pool.AcquireAsync()];
        ValueTask<PoolLease<Resource>> newcomer = default;
        int reads = 0;
        clock.OnRead = () =>
        {
            if (reads++ == 0)
            {
                Array.ForEach(held, static lease => lease.Dispose());
            }
            else if (pool.Snapshot() is { Checking: 1, Waiting: 1, Idle: 2 })
            {
                // One waits, and is about to be handed one; two more are idle.
                clock.OnRead = null;
                long waits = pool.Waits;
                newcomer = pool.AcquireAsync();
                Assert.Equal((true, waits), (newcomer.IsCompletedSuccessfully, pool.Waits));
            }
        };
        ValueTask<PoolLease<Resource>> waiting = pool.AcquireAsync();
        Assert.True(waiting.IsCompletedSuccessfully);
        Assert.Null(clock.OnRead);
        Assert.NotEqual((await waiting).Resource.Id, (await newcomer).Resource.Id);
        Assert.Equal((2, 1), (pool.Snapshot().Leased, pool.Snapshot().Idle));
    }

    /// <summary>A drain that came in the moment of a hand-over passed the entry by, and when nobody waited any more it was laid back into the closed pool.</summary>
    [Fact]
    public async Task Drain_AmidAHandOver_NothingIsLaidBack()
    {
        var clock = new Clock(_time);
        var pool = new ResourcePool<Resource>("test", _factory, new PoolOptions { MaxSize = 1 }, clock);
        Task<PoolDrainResult>? drain = null;
        await AmidAHandOverAsync(clock, pool.AcquireAsync, pool.Snapshot, () =>
        {
            int timers = clock.Timers;
            drain = pool.DrainAsync(TimeSpan.FromHours(1));

            // It has swept what is idle when it begins to wait for the rest.
            Assert.True(SpinWait.SpinUntil(() => clock.Timers > timers, TimeSpan.FromMinutes(1)));
        });
        Assert.True((await drain!.WaitAsync(TimeSpan.FromMinutes(1))).IsEmpty);
        Assert.Equal(0, _factory.Alive);
    }

    /// <summary>A pool that became smaller in that moment found nothing idle to give up.</summary>
    [Fact]
    public async Task Resize_AmidAHandOver_NothingIsLaidBack()
    {
        var clock = new Clock(_time);
        var pool = new ResourcePool<Resource>("test", _factory, new PoolOptions { MaxSize = 2 }, clock);
        PoolLease<Resource> other = await pool.AcquireAsync();
        await AmidAHandOverAsync(clock, pool.AcquireAsync, pool.Snapshot, () => pool.Resize(1));
        await Eventually.TrueAsync(() => pool.Snapshot() is { Open: 1, Leased: 1 }, "the end of the one too many, though the clock stands still");
        other.Dispose();
        Assert.Equal(1, pool.Snapshot().Idle);
    }

    /// <summary>Another key that wanted the place in that moment found nothing idle, and was told of nothing afterwards.</summary>
    [Fact]
    public async Task AnotherKeyWants_AmidAHandOver_ItGetsThePlace()
    {
        var clock = new Clock(_time);
        var pool = new KeyedResourcePool<string, Resource>("test", _ => _factory, new KeyedPoolOptions { MaxTotal = 1 }, clock);
        Task<PoolLease<Resource>>? wanting = null;
        await AmidAHandOverAsync(clock, (token, file, line) => pool.AcquireAsync("a", token, file, line), () => pool.Snapshot("a")!, () =>
        {
            wanting = pool.AcquireAsync("b").AsTask();
            Assert.False(wanting.IsCompleted);
        }, earlierReads: 1); // a key notes when it was used last
        using PoolLease<Resource> served = await wanting!.WaitAsync(TimeSpan.FromMinutes(1));
        Assert.Equal((2, 1), (served.Resource.Id, _factory.MostAlive));
    }

    /// <summary>
    /// The one resource comes back before its caller queues, so that it is idle; the caller queues, looks again, and takes the entry to hand it to itself.
    /// In this moment its wait is cancelled, so that it is not wanted any more, and something else happens.
    /// </summary>
    private static async Task AmidAHandOverAsync(Clock clock, Func<CancellationToken, string, int, ValueTask<PoolLease<Resource>>> acquire, Func<PoolSnapshot> snapshot, Action then, int earlierReads = 0)
    {
        PoolLease<Resource> held = await acquire(default, "", 0);
        using var source = new CancellationTokenSource();
        bool happened = false;
        clock.OnRead = () =>
        {
            if (earlierReads-- == 0)
            {
                held.Dispose();
            }
            else if (snapshot() is { Checking: 1, Waiting: 1 })
            {
                clock.OnRead = null;
                source.Cancel();
                then();
                happened = true;
            }
        };
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await acquire(source.Token, "", 0));
        Assert.True(happened, "there was no hand-over, so nothing was shown");
    }

    /// <summary>A clock that lets the test act when the thread that set <see cref="OnRead"/> reads it.</summary>
    private sealed class Clock(ManualTimeProvider inner) : TimeProvider
    {
        private Action? _onRead;
        private int _thread;
        private bool _isActing;
        private int _timers;

        public Action? OnRead
        {
            get => _onRead;
            set
            {
                _thread = Environment.CurrentManagedThreadId;
                _onRead = value;
            }
        }

        public int Timers => Volatile.Read(ref _timers);

        public override long TimestampFrequency => inner.TimestampFrequency;

        public override long GetTimestamp()
        {
            if (_onRead is { } act && _thread == Environment.CurrentManagedThreadId && !_isActing)
            {
                _isActing = true;
                act();
                _isActing = false;
            }

            return inner.GetTimestamp();
        }

        public override DateTimeOffset GetUtcNow() => inner.GetUtcNow();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            Interlocked.Increment(ref _timers);
            return inner.CreateTimer(callback, state, dueTime, period);
        }
    }
}
