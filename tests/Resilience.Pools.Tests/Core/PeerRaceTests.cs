using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Resilience.TestKit;

namespace Resilience.Pools.Tests.Core;

/// <summary>
/// What has gone wrong in other pools, each as a test of ours: HikariCP, Npgsql, SqlClient, puddle, deadpool, bb8, Commons Pool and
/// SocketsHttpHandler. Named after what broke.
/// </summary>
public sealed class PeerRaceTests : IAsyncDisposable
{
    private readonly PoolFixture _pools = new();

    public ValueTask DisposeAsync() => _pools.DisposeAsync();

    /// <summary>Npgsql, SqlClient: a waiter that was woken because a creation had failed queued again behind those who came later.</summary>
    [Fact]
    public async Task Waiters_CreationsFail_KeepTheirPlaces()
    {
        int attempts = 0;
        _pools.Factory.OnCreate = _ => ++attempts <= 3 ? throw new IOException("down") : default;
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 1, BreakAfter = 100, AcquireTimeout = TimeSpan.FromMinutes(10) });
        var order = new ConcurrentQueue<int>();
        Task[] waits = [.. Enumerable.Range(0, 8).Select(ServeAsync)];
        Task all = Task.WhenAll(waits);
        await Eventually.TrueAsync(() =>
        {
            _pools.Time.Advance(TimeSpan.FromMilliseconds(50));
            return all.IsCompleted;
        }, "all eight");
        await all;
        Assert.Equal(Enumerable.Range(0, 8), order);

        async Task ServeAsync(int number)
        {
            using PoolLease<Resource> lease = await pool.AcquireAsync();
            order.Enqueue(number);
        }
    }

    /// <summary>Order among equals, with cancellations and replacements in between (Commons Pool's fairness; puddle's token that comes late).</summary>
    [Fact]
    public async Task Fifo_WaitersCancelAndResourcesBreak_OrderOfArrivalIsKept()
    {
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 1, AcquireTimeout = Timeout.InfiniteTimeSpan }, TimeProvider.System);
        await new StressRunner { Workers = 1 }.RunAsync(async worker =>
        {
            PoolLease<Resource> holder = await pool.AcquireAsync();
            var order = new ConcurrentQueue<int>();
            var sources = new List<CancellationTokenSource>();
            var waits = new List<Task>();
            for (int i = 0; i < 24; i++)
            {
                var source = new CancellationTokenSource();
                sources.Add(source);
                waits.Add(ServeAsync(i, worker.Random.Next(4) == 0, source.Token));
            }

            Task cancels = Task.Run(() =>
            {
                for (int i = 0; i < sources.Count; i += 3)
                {
                    sources[i].Cancel();
                }
            });
            holder.Dispose();
            await cancels;
            await Task.WhenAll(waits);
            sources.ForEach(source => source.Dispose());
            int[] served = [.. order];
            Assert.Equal(served.Order(), served);
            Assert.Superset(Enumerable.Range(0, 24).Where(i => i % 3 != 0).ToHashSet(), served.ToHashSet());

            async Task ServeAsync(int number, bool breaks, CancellationToken token)
            {
                try
                {
                    using PoolLease<Resource> lease = await pool.AcquireAsync(token);
                    order.Enqueue(number);
                    if (breaks)
                    {
                        lease.Invalidate();
                    }
                }
                catch (OperationCanceledException)
                {
                }
            }
        });
    }

    /// <summary>Npgsql: a waiter that was woken by a late return opened a connection on the source that had been disposed.</summary>
    [Fact]
    public async Task Drain_LeaseComesBackAfterwards_NothingIsCreatedAnew()
    {
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 1, MinIdle = 1 });
        PoolLease<Resource> lease = await pool.AcquireAsync();
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        Task<PoolDrainResult> drain = pool.DrainAsync(Timeout.InfiniteTimeSpan);
        await Assert.ThrowsAsync<PoolClosedException>(() => waiting);
        lease.Dispose();
        Assert.True((await drain).IsEmpty);
        _pools.Time.Advance(TimeSpan.FromMinutes(1));
        await Assert.ThrowsAsync<PoolClosedException>(async () => await pool.AcquireAsync());
        Assert.False(pool.TryAcquire(out _));
        Assert.Equal((1, 0), (_pools.Factory.Attempts, _pools.Factory.Alive));
    }

    /// <summary>SqlClient: opening blocked the thread of whoever asked.</summary>
    [Fact]
    public async Task Acquire_FactoryBlocksItsThread_TheCallersIsNotBlocked()
    {
        using var gate = new ManualResetEventSlim();
        _pools.Factory.OnCreate = _ =>
        {
            gate.Wait();
            return default;
        };
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 1 });

        // Were it blocked, the gate would never be opened.
        ValueTask<PoolLease<Resource>> waiting = pool.AcquireAsync();
        Assert.False(waiting.IsCompleted);
        gate.Set();
        (await waiting).Dispose();
    }

    /// <summary>
    /// SqlClient: who reserved a place and then found no room among the creators gave the place back, and whoever had finished meanwhile and
    /// seen no place free had woken nobody.
    /// </summary>
    [Fact]
    public async Task Create_OneAtATimeAndEveryResourceBreaks_NoWaiterIsForgotten()
    {
        _pools.Factory.OnCreate = static async _ => await Task.Yield();
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 2, MaxConcurrentCreates = 1, AcquireTimeout = Timeout.InfiniteTimeSpan }, TimeProvider.System);
        await new StressRunner { Workers = 6 }.RunAsync(async _ =>
        {
            await using PoolLease<Resource> lease = await pool.AcquireAsync();
            lease.Invalidate();
        }, () => Assert.Equal(1, _pools.Factory.MostCreating));
        Assert.True(_pools.Factory.MostAlive <= 2);
    }

    /// <summary>puddle, go-sql-driver, pgx: a reset or close gave the places back before the connections had ended, and there were too many.</summary>
    [Fact]
    public async Task Clear_DestructionsAreSlow_PlacesStayTaken()
    {
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 2 });
        PoolLease<Resource>[] both = [await pool.AcquireAsync(), await pool.AcquireAsync()];
        Array.ForEach(both, lease => lease.Dispose());
        var destroy = new TaskCompletionSource();
        _pools.Factory.OnDestroy = _ => new ValueTask(destroy.Task);
        await pool.ClearAsync();
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        await Eventually.TrueAsync(() => pool.Snapshot().Closing == 2, "both destructions");
        Assert.Equal((2, 2), (_pools.Factory.Attempts, pool.Snapshot().Open));
        Assert.False(waiting.IsCompleted);
        destroy.SetResult();
        (await waiting).Dispose();
        Assert.Equal(2, _pools.Factory.MostAlive);
    }

    /// <summary>puddle's sweep of all that is idle against those who rent at that moment; MySqlConnector's reclaim that raced.</summary>
    [Fact]
    public async Task Sweep_RacesRent_NothingIsSharedOrLost()
    {
        ResourcePool<Resource> pool = _pools.Make(new()
        {
            MaxSize = 4, MinIdle = 1, IdleTimeout = TimeSpan.FromSeconds(1), KeepAliveInterval = TimeSpan.FromMilliseconds(100), LeakThreshold = Timeout.InfiniteTimeSpan, MaxLifetime = TimeSpan.FromSeconds(20),
            AcquireTimeout = Timeout.InfiniteTimeSpan, CreateTimeout = TimeSpan.FromMinutes(10), ValidateTimeout = TimeSpan.FromMinutes(10), DestroyTimeout = TimeSpan.FromMinutes(10),
        });
        int served = 0;
        long steps = 0;
        long end = Environment.TickCount64 + 60_000;
        do
        {
            await new StressRunner { Workers = 5 }.RunAsync(StepAsync, () => Assert.True(_pools.Factory.MostAlive <= 4));
        }
        while ((_pools.Factory.Validated == 0 || _pools.Factory.Destroyed == 0) && Environment.TickCount64 < end);

        PoolLease<Resource>[] all = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => pool.AcquireAsync().AsTask())).WaitAsync(TimeSpan.FromMinutes(1));
        Assert.Equal(4, all.Select(lease => lease.Resource.Id).Distinct().Count());
        Array.ForEach(all, lease => lease.Dispose());
        Assert.True(_pools.Factory.Validated > 0 && _pools.Factory.Destroyed > 0, "the sweep did nothing, so nothing was shown");

        async Task StepAsync(StressWorker worker)
        {
            if (worker.Index == 0)
            {
                // Slow enough that nothing comes to its timeout for want of a processor.
                if (Interlocked.Exchange(ref served, 0) == 0)
                {
                    await Task.Delay(1);
                }

                _pools.Time.Advance(TimeSpan.FromMilliseconds(150));
                Interlocked.Increment(ref steps);
                return;
            }

            await using (PoolLease<Resource> lease = await pool.AcquireAsync())
            {
                lease.Resource.Enter();
                lease.Resource.Leave();
                Interlocked.Increment(ref served);
            }

            // Who rests for three seconds of the pool's clock leaves a resource idle beyond its timeout, for the sweep to find while the others
            // rent; and lets the clock have a thread, which four renters that never wait would keep from it.
            long until = worker.Random.Next(64) == 0 ? Interlocked.Read(ref steps) + 20 : 0;
            while (Interlocked.Read(ref steps) < until && !worker.IsStopping)
            {
                await Task.Yield();
            }
        }
    }

    /// <summary>HikariCP: evictions while everybody borrows lost connections.</summary>
    [Fact]
    public async Task Evict_EverybodyBorrows_PlacesAreKept()
    {
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 10, MaxConcurrentCreates = 8, AcquireTimeout = Timeout.InfiniteTimeSpan }, TimeProvider.System);
        await new StressRunner { Workers = 10 }.RunAsync(async worker =>
        {
            await using PoolLease<Resource> lease = await pool.AcquireAsync();
            lease.Resource.Enter();
            if (worker.Random.Next(3) == 0)
            {
                lease.Invalidate();
            }
            else if (worker.Random.Next(50) == 0)
            {
                await pool.ClearAsync();
            }

            lease.Resource.Leave();
        });
        await Eventually.TrueAsync(() => pool.Snapshot() is { Closing: 0, Creating: 0, Checking: 0 }, "rest");
        PoolSnapshot snapshot = pool.Snapshot();
        Assert.Equal((snapshot.Open, 0), (snapshot.Idle, snapshot.Leased));
        Assert.Equal(snapshot.Idle, _pools.Factory.Alive);
    }

    /// <summary>HikariCP 830: a pool that had been saturated neither served everybody nor shrank again.</summary>
    [Fact]
    public async Task Saturated_LoadGoesAway_EverybodyWasServedAndItShrinksToMinIdle()
    {
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 10, MinIdle = 2, IdleTimeout = TimeSpan.FromSeconds(10), AcquireTimeout = Timeout.InfiniteTimeSpan, ValidateOnAcquireAfter = Timeout.InfiniteTimeSpan });
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task[] users = [.. Enumerable.Range(0, 50).Select(async _ =>
        {
            await using PoolLease<Resource> lease = await pool.AcquireAsync();
            await release.Task;
        })];
        await Eventually.TrueAsync(() => pool.Snapshot() is { Leased: 10, Waiting: 40 }, "saturation");
        release.SetResult();
        await Task.WhenAll(users);
        Assert.Equal(10, _pools.Factory.MostAlive);
        await Eventually.TrueAsync(() =>
        {
            _pools.Time.Advance(TimeSpan.FromSeconds(1));
            return pool.Snapshot() is { Idle: 2, Open: 2 };
        }, "two idle ones");
    }

    /// <summary>HikariCP's and puddle's double close, at the same moment.</summary>
    [Fact]
    public async Task Return_TwiceAtOnce_OneCounts()
    {
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 1 });
        const int Rounds = 2_000;
        PoolLease<Resource> lease = await pool.AcquireAsync();
        using var before = new Barrier(2);
        using var after = new Barrier(2, _ => Assert.True(pool.TryAcquire(out lease)));
        var other = new Thread(ReturnOverAndOver);
        other.Start();
        ReturnOverAndOver();
        other.Join();
        Assert.Equal((0, 1, (long)Rounds), (pool.Snapshot().Idle, pool.Snapshot().Leased, pool.Snapshot().StaleReturns));
        lease.Dispose();

        void ReturnOverAndOver()
        {
            for (int i = 0; i < Rounds; i++)
            {
                before.SignalAndWait();
                lease.Dispose();
                after.SignalAndWait();
            }
        }
    }

    /// <summary>Npgsql: the least number of connections was only where pruning stopped; nobody made them.</summary>
    [Fact]
    public async Task MinIdle_SomeAreLeased_HeadroomIsMade()
    {
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 5, MinIdle = 2 });
        await pool.StartAsync();
        await Eventually.TrueAsync(() => pool.Snapshot().Idle == 2, "the first two");
        using PoolLease<Resource> one = await pool.AcquireAsync();
        using PoolLease<Resource> two = await pool.AcquireAsync();
        await Eventually.TrueAsync(() =>
        {
            _pools.Time.Advance(TimeSpan.FromMilliseconds(500));
            return pool.Snapshot().Idle == 2;
        }, "two more");
        Assert.Equal(4, pool.Snapshot().Open);
    }

    /// <summary>A driver that hangs in its login and heeds no token: it keeps its place, and must not keep the pool from trying again.</summary>
    [Fact]
    public async Task Create_OneNeverEnds_TheNextAttemptIsMade()
    {
        var never = new TaskCompletionSource();
        int attempts = 0;
        _pools.Factory.OnCreate = _ => Interlocked.Increment(ref attempts) == 1 ? new ValueTask(never.Task) : default;
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 2, CreateTimeout = TimeSpan.FromSeconds(1), AcquireTimeout = TimeSpan.FromMinutes(10) });
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        await Eventually.TrueAsync(() =>
        {
            _pools.Time.Advance(TimeSpan.FromMilliseconds(100));
            return waiting.IsCompleted;
        }, "the second attempt's product");
        using (PoolLease<Resource> lease = await waiting)
        {
            Assert.Equal(2, pool.Snapshot().Open);
        }

        never.SetResult();
        await Eventually.TrueAsync(() => pool.Snapshot() is { Open: 1, Idle: 1 }, "the end of what came too late");
        Assert.True(_pools.Factory.MostAlive <= 2);
    }

    /// <summary>A logging provider that throws is no reason to lose a place or to end a loop.</summary>
    [Fact]
    public async Task Logger_Throws_NoPlaceIsLostAndBatchesAreWritten()
    {
        int attempts = 0;
        _pools.Factory.OnCreate = _ => ++attempts <= 2 ? throw new IOException("down") : default;
        var pool = new ResourcePool<Resource>("test", _pools.Factory, new PoolOptions { MaxSize = 1, BreakAfter = 1, LeakThreshold = TimeSpan.FromSeconds(5), LeakAction = LeakAction.Reclaim, AcquireTimeout = TimeSpan.FromMinutes(10) }, _pools.Time, new ThrowingLogger());
        _pools.Add(pool);
        await Assert.ThrowsAsync<PoolUnavailableException>(async () => await pool.AcquireAsync());
        await Eventually.TrueAsync(() =>
        {
            _pools.Time.Advance(TimeSpan.FromMilliseconds(200));
            return pool.Snapshot().Backend == PoolBackendState.Up;
        }, "the probe that succeeds");
        await pool.AcquireAsync();
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        await Eventually.TrueAsync(() =>
        {
            _pools.Time.Advance(TimeSpan.FromSeconds(1));
            return waiting.IsCompleted;
        }, "the place that was taken back");
        (await waiting).Dispose();

        int writes = 0;
        var writer = new BatchWriter<int>("test", (_, _) => ++writes == 1 ? throw new IOException("disk") : default, new() { MaxBatch = 1, RetryDelay = TimeSpan.FromMilliseconds(1), MaxRetryDelay = TimeSpan.FromMilliseconds(1) }, logger: new ThrowingLogger());
        await writer.WriteAsync(1);
        Assert.Equal(new BatchDrainResult(1, 0, 0), await writer.DrainAsync());
    }

    /// <summary>deadpool: a caller who is cancelled while its resource is validated, reset or made loses nothing.</summary>
    [Fact]
    public async Task Acquire_CancelledDuringValidation_TheResourceStays()
    {
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 1, ValidateOnAcquireAfter = TimeSpan.Zero });
        (await pool.AcquireAsync()).Dispose();
        var validation = new TaskCompletionSource<bool>();
        _pools.Factory.OnValidate = (_, _) => new ValueTask<bool>(validation.Task);
        using var source = new CancellationTokenSource();
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync(source.Token).AsTask();
        await Eventually.TrueAsync(() => _pools.Factory.Validated == 1, "the validation");
        await source.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        validation.SetResult(true);
        await Eventually.TrueAsync(() => pool.Snapshot() is { Idle: 1, Checking: 0 }, "the resource on the stack again");
        Assert.Equal((1, 0), (_pools.Factory.Created, _pools.Factory.Destroyed));
    }

    /// <summary>SocketsHttpHandler: a failed attempt failed the caller who had set it off, though another resource was on its way.</summary>
    [Fact]
    public async Task Create_AttemptFailsAndAnotherResourceComesBack_TheCallerIsServed()
    {
        ResourcePool<Resource> pool = _pools.Make(new() { MaxSize = 2 });
        PoolLease<Resource> living = await pool.AcquireAsync();
        _pools.Factory.OnCreate = static _ => throw new IOException("refused");
        Task<PoolLease<Resource>> waiting = pool.AcquireAsync().AsTask();
        await Eventually.TrueAsync(() => pool.Snapshot().CreateFailures > 0, "the failed attempt");
        Assert.False(waiting.IsCompleted);
        living.Dispose();
        (await waiting).Dispose();
    }

    private sealed class ThrowingLogger : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) => throw new InvalidOperationException("the log's disk is full");
    }
}
