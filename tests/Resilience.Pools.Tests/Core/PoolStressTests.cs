using Resilience.Context;
using Resilience.TestKit;

namespace Resilience.Pools.Tests.Core;

public sealed class PoolStressTests
{
    private static readonly TimeSpan LeakThreshold = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Every operation at once. The resource itself tells a double grant, the factory tells more than MaxSize alive; at the end every
    /// place must be accounted for and usable.
    /// </summary>
    [Theory]
    [InlineData(WaiterOrder.Fifo, false)]
    [InlineData(WaiterOrder.AdaptiveLifo, true)]
    public async Task Pool_EveryOperationAtOnce_PermitsAreConserved(WaiterOrder order, bool resets)
    {
        const int MaxSize = 6;
        int failing = 0;
        var factory = new Factory();
        factory.OnCreate = async token =>
        {
            await Task.Yield();
            if (Volatile.Read(ref failing) > 0 && Interlocked.Decrement(ref failing) >= 0)
            {
                throw new InvalidOperationException("login failed");
            }
        };
        factory.OnDestroy = static async _ => await Task.Yield();
        if (resets)
        {
            factory.OnReset = static async (resource, _) =>
            {
                await Task.Yield();
                return !resource.IsBroken;
            };
        }

        var options = new PoolOptions
        {
            MaxSize = MaxSize, MinIdle = 1, AcquireTimeout = TimeSpan.FromSeconds(28), MaxWaiters = 48, WaiterOrder = order, CoDelTarget = TimeSpan.FromSeconds(2), CoDelInterval = TimeSpan.FromSeconds(3),
            ValidateOnAcquireAfter = TimeSpan.FromMilliseconds(20), KeepAliveInterval = TimeSpan.FromMilliseconds(100), IdleTimeout = TimeSpan.FromMilliseconds(100), MaxLifetime = TimeSpan.FromMilliseconds(300), LifetimeJitter = 0.5,
            CreateTimeout = TimeSpan.FromMinutes(1), ValidateTimeout = TimeSpan.FromMinutes(1), DestroyTimeout = TimeSpan.FromMinutes(1),
            LeakThreshold = LeakThreshold, LeakAction = LeakAction.Reclaim, CreateBackoff = TimeSpan.FromMilliseconds(1), MaxCreateBackoff = TimeSpan.FromMilliseconds(10), BreakAfter = 3,
        };
        var pool = new ResourcePool<Resource>("stress", factory, options);
        long leased = 0;
        long leakedAt = 0;
        var runner = new StressRunner { Workers = 16 };
        await runner.RunAsync(
            async worker =>
            {
                Random random = worker.Random;
                int dice = random.Next(1000);
                long since = Environment.TickCount64;
                switch (dice)
                {
                    case < 2:
                        await pool.ClearAsync(random.Next(2) == 0 ? TimeSpan.Zero : TimeSpan.FromMilliseconds(20));
                        return;
                    case < 6:
                        pool.Resize(random.Next(1, MaxSize + 1));
                        return;
                    case < 8:
                        Volatile.Write(ref failing, random.Next(1, 5));
                        return;
                    case < 100 when pool.TryAcquire(out PoolLease<Resource> taken):
                        UseInTime(taken, random, since);
                        await taken.DisposeAsync();
                        return;
                }

                using var source = new CancellationTokenSource();
                if (dice < 200)
                {
                    source.CancelAfter(TimeSpan.FromMilliseconds(random.Next(3)));
                }

                try
                {
                    using RequestScope? scope = dice is >= 200 and < 300 ? RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromMilliseconds(random.Next(5)), Priority = (Priority)random.Next(4) }) : null;
                    PoolLease<Resource> lease = await pool.AcquireAsync(source.Token);
                    Interlocked.Increment(ref leased);
                    UseInTime(lease, random, since);
                    if (dice is >= 300 and < 320)
                    {
                        // A leak: the sweep has to take it back. Rarely, for it costs a place for a second.
                        long last = Interlocked.Read(ref leakedAt);
                        if (Environment.TickCount64 - last > 400 && Interlocked.CompareExchange(ref leakedAt, Environment.TickCount64, last) == last)
                        {
                            return;
                        }
                    }

                    if (random.Next(4) == 0)
                    {
                        await Task.Yield();
                    }

                    lease.Dispose();
                    if (dice is >= 400 and < 450)
                    {
                        lease.Dispose();
                    }

                    Assert.False(lease.IsValid);
                }
                catch (OperationCanceledException) when (source.IsCancellationRequested)
                {
                }
                catch (PoolExhaustedException exception) when (exception.Limit != PoolWaitLimit.AcquireTimeout)
                {
                }
                catch (PoolUnavailableException)
                {
                }
            },
            () =>
            {
                Assert.True(factory.MostAlive <= MaxSize, $"{factory.MostAlive} resources were alive at once, {MaxSize} are allowed");
                Assert.True(leased > 0);
            });

        Volatile.Write(ref failing, 0);
        pool.Resize(MaxSize);
        await CheckAllPlacesWorkAsync(pool, MaxSize);
        PoolDrainResult drained = await pool.DrainAsync(TimeSpan.FromMinutes(1));
        Assert.True(drained.IsEmpty);
        Assert.Equal(0, factory.Alive);
        PoolSnapshot snapshot = pool.Snapshot();
        Assert.Equal(0, snapshot.Open);
        Assert.Equal(snapshot.Created, snapshot.Destroyed);
    }

    /// <summary>The same with the drain in the middle of it: every caller is answered, nothing is left alive, no lease was taken away.</summary>
    [Fact]
    public async Task Pool_DrainedAmidEveryOperation_EveryCallerIsAnsweredAndNothingIsLeft()
    {
        await new StressRunner { Workers = 1 }.RunAsync(async worker =>
        {
            var factory = new Factory { OnCreate = static async _ => await Task.Yield(), OnDestroy = static async _ => await Task.Yield() };
            var pool = new ResourcePool<Resource>("drain", factory, new PoolOptions { MaxSize = 3, MaxWaiters = 8, AcquireTimeout = Timeout.InfiniteTimeSpan });
            int served = 0;
            int[] seeds = [.. Enumerable.Range(0, 12).Select(_ => worker.Random.Next())];
            Task[] users = [.. seeds.Select(seed => Task.Run(() => UseUntilClosedAsync(pool, new Random(seed), () => Interlocked.Increment(ref served))))];
            await Eventually.TrueAsync(() => Volatile.Read(ref served) > 20 + worker.Random.Next(200), "leases before the drain");
            PoolDrainResult result = await pool.DrainAsync(TimeSpan.FromMinutes(1));
            await Task.WhenAll(users).WaitAsync(TimeSpan.FromMinutes(1));
            Assert.True(result.IsEmpty);
            Assert.Equal(0, result.Reclaimed);
            Assert.Equal(0, factory.Alive);
            Assert.True(factory.MostAlive <= 3);
            Assert.Equal(0, pool.Snapshot().Open);
        });
    }

    private static async Task UseUntilClosedAsync(ResourcePool<Resource> pool, Random random, Action served)
    {
        while (true)
        {
            try
            {
                int dice = random.Next(100);
                if (dice == 0)
                {
                    await pool.ClearAsync(random.Next(2) == 0 ? TimeSpan.Zero : TimeSpan.FromMilliseconds(10));
                }
                else if (dice == 1)
                {
                    pool.Resize(random.Next(1, 4));
                }

                using var source = new CancellationTokenSource();
                if (dice < 20)
                {
                    source.CancelAfter(TimeSpan.FromMilliseconds(random.Next(2)));
                }

                using RequestScope? scope = dice is >= 20 and < 40 ? RequestScope.Begin(new ScopeOptions { Timeout = TimeSpan.FromMilliseconds(random.Next(3)), Priority = (Priority)random.Next(4) }) : null;
                PoolLease<Resource> lease = await pool.AcquireAsync(source.Token);
                Use(lease, random);
                lease.Dispose();
                if (dice is >= 40 and < 50)
                {
                    lease.Dispose();
                }

                served();
            }
            catch (PoolClosedException)
            {
                return;
            }
            catch (OperationCanceledException)
            {
            }
            catch (PoolExhaustedException exception) when (exception.Limit != PoolWaitLimit.AcquireTimeout)
            {
            }
        }
    }

    /// <summary>The same where leaks are reclaimed: a thread that does not run for the length of the threshold loses its lease rightly, and nobody loses it sooner.</summary>
    private static void UseInTime(PoolLease<Resource> lease, Random random, long since)
    {
        try
        {
            Use(lease, random);
        }
        catch (Exception) when (Environment.TickCount64 - since > LeakThreshold.TotalMilliseconds - 100)
        {
        }
    }

    private static void Use(PoolLease<Resource> lease, Random random)
    {
        Resource resource = lease.Resource;
        resource.Enter();
        if (random.Next(100) < 3)
        {
            lease.Invalidate();
        }
        else if (random.Next(200) == 0)
        {
            lease.Report(new InvalidOperationException());
        }

        resource.Leave();
    }

    private static async Task CheckAllPlacesWorkAsync(ResourcePool<Resource> pool, int size)
    {
        // All places at once, each within the timeout: one that was lost on the way would be missed here.
        for (int attempt = 0; ; attempt++)
        {
            var leases = new List<PoolLease<Resource>>();
            try
            {
                for (int i = 0; i < size; i++)
                {
                    leases.Add(await pool.AcquireAsync(new PoolRequest { Timeout = TimeSpan.FromSeconds(28) }));
                }

                Assert.Equal(size, leases.Select(lease => lease.Resource.Id).Distinct().Count());
                return;
            }
            catch (Exception exception) when (exception is PoolUnavailableException or PoolLeaseExpiredException && attempt < 50)
            {
                // A place that was leaked on purpose comes back after the leak threshold, and whoever waits for it holds the others for
                // longer than that: then these are reclaimed too, and the next attempt finds all places.
                await Task.Delay(20);
            }
            finally
            {
                leases.ForEach(lease => lease.Dispose());
            }
        }
    }
}
