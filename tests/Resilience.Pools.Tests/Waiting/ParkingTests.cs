using Resilience.TestKit;

namespace Resilience.Pools.Tests.Waiting;

/// <summary>
/// Who never runs short never queues. Two threads that did, once, handed resources to each other through the lock from then on, a hundred times as
/// slowly, though most of the pool lay idle.
/// </summary>
public sealed class ParkingTests : IAsyncDisposable
{
    private const int Size = 8;

    private readonly ResourcePool<Resource> _pool = new("test", new Factory(), new PoolOptions
    {
        MaxSize = Size, AcquireTimeout = Timeout.InfiniteTimeSpan, ValidateOnAcquireAfter = Timeout.InfiniteTimeSpan, MaxLifetime = Timeout.InfiniteTimeSpan, IdleTimeout = Timeout.InfiniteTimeSpan,
        LeakThreshold = Timeout.InfiniteTimeSpan,
    });

    public async ValueTask DisposeAsync() => await _pool.DisposeAsync();

    [Theory]
    [InlineData(2)]
    [InlineData(4)]
    [InlineData(8)]
    public async Task Acquire_APlaceForEverybody_NobodyQueues(int threads)
    {
        await TakeAndReturnAllAsync();
        long before = _pool.Waits;
        new StressRunner { Workers = threads, Duration = TimeSpan.FromSeconds(1) }.Run(_ =>
        {
            ValueTask<PoolLease<Resource>> acquire = _pool.AcquireAsync();
            Assert.True(acquire.IsCompletedSuccessfully);
            acquire.GetAwaiter().GetResult().Dispose();
        });
        Assert.Equal(before, _pool.Waits);
    }

    [Fact]
    public async Task Acquire_ShortageIsOver_NobodyQueuesAnyMore()
    {
        long[] turns = new long[2];
        bool isOver = false;
        Thread[] users = [.. Enumerable.Range(0, turns.Length).Select(user => new Thread(() => UseUntilOver(ref turns[user])) { IsBackground = true })];
        await TakeAndReturnAllAsync();
        Array.ForEach(users, static user => user.Start());
        for (int round = 0; round < 100; round++)
        {
            await TakeAndReturnAllAsync();

            // Whoever ran short has been served after two turns: the second one began when nobody was short any more.
            await TurnsAsync(2);
            long waits = _pool.Waits;
            await TurnsAsync(500);
            Assert.Equal(waits, _pool.Waits);
        }

        Volatile.Write(ref isOver, true);
        Array.ForEach(users, static user => user.Join());

        async Task TurnsAsync(int count)
        {
            long[] goal = [.. turns.Select((_, user) => Interlocked.Read(ref turns[user]) + count)];
            await Eventually.TrueAsync(() => goal.Select((turn, user) => Interlocked.Read(ref turns[user]) >= turn).All(static done => done), "everybody's turns");
        }

        void UseUntilOver(ref long own)
        {
            while (!Volatile.Read(ref isOver))
            {
                _pool.AcquireAsync().AsTask().GetAwaiter().GetResult().Dispose();
                Interlocked.Increment(ref own);
            }
        }
    }

    /// <summary>Flows that are looked at for nested acquires, which they are for a minute after an exhaustion, take what is idle like all others.</summary>
    [Fact]
    public async Task Acquire_NestingIsLookedFor_NobodyQueuesWhereSomethingIsIdle()
    {
        var time = new ManualTimeProvider();
        var pool = new ResourcePool<Resource>("test", new Factory(), new PoolOptions { MaxSize = 2, AcquireTimeout = TimeSpan.FromSeconds(1), DetectNestedAcquire = true }, time);
        PoolLease<Resource> one = await pool.AcquireAsync();
        (await pool.AcquireAsync()).Dispose();
        long waits = pool.Waits;
        using (PoolLease<Resource> two = await pool.AcquireAsync())
        {
            Assert.Equal(waits, pool.Waits);

            // The flow is known to hold both.
            Task<PoolLease<Resource>> third = pool.AcquireAsync().AsTask();
            time.Advance(TimeSpan.FromSeconds(2));
            Assert.True((await Assert.ThrowsAsync<PoolExhaustedException>(() => third)).IsNestedAcquire);
        }

        one.Dispose();
    }

    private async Task TakeAndReturnAllAsync()
    {
        var all = new List<PoolLease<Resource>>();
        for (int i = 0; i < Size; i++)
        {
            all.Add(await _pool.AcquireAsync());
        }

        all.ForEach(static lease => lease.Dispose());
    }
}
