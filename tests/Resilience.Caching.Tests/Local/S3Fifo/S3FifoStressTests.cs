using System.Globalization;
using Resilience.Caching.Local.S3Fifo;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Local.S3Fifo;

/// <summary>Many threads at one tier: nothing is lost, nothing counted twice, and what a write has returned is there.</summary>
public sealed class S3FifoStressTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Set_UniqueKeysAskedForTwiceInARow_AreLoadedOnceEach(int threads)
    {
        const int Keys = 200_000;
        const int Stretch = 250; // nobody may fall behind by more, or what he has just written is rightly evicted before he asks for it
        S3FifoTier map = Create(10_000);
        int loads = 0;
        using var together = new Barrier(threads);
        Thread[] workers = [.. Enumerable.Range(0, threads).Select(worker => new Thread(() =>
        {
            for (int key = worker; key < Keys; key += threads)
            {
                if (key / threads % Stretch == 0)
                {
                    together.SignalAndWait();
                }

                for (int time = 0; time < 2; time++)
                {
                    if (map.Find(K(key)) is null)
                    {
                        Interlocked.Increment(ref loads);
                        map.Set(K(key), new Item(key));
                    }
                }
            }
        }))];
        Array.ForEach(workers, worker => worker.Start());
        Array.ForEach(workers, worker => worker.Join());
        Assert.Equal(Keys, loads);
        S3FifoIntegrity.Check(map);
    }

    [Fact]
    public void Soak_AllOperationsFromManyThreads_LosesNothingAndCountsNothingTwice()
    {
        S3FifoTier map = Create(2_000);
        new StressRunner { Workers = 4 }.Run(
            worker =>
            {
                Random random = worker.Random;
                for (int i = 0; i < 200; i++)
                {
                    int key = random.Next(random.Next(2) == 0 ? 300 : 20_000);
                    switch (random.Next(20))
                    {
                        case < 11:
                            var found = (Item?)map.Find(K(key));
                            Assert.True(found is null || found.Id == key, "a key has another key's value");
                            break;
                        case < 17:
                            map.Set(K(key), new Item(key, random.Next(50) == 0 ? random.Next(1, 400) : random.Next(1, 5), random.Next(8) == 0 ? random.Next(1_000) : long.MaxValue));
                            break;
                        case < 18:
                            map.Remove(K(key));
                            break;
                        case < 19:
                            if (map.Find(K(key)) is { } expected)
                            {
                                map.Remove(K(key), expected);
                            }

                            break;
                        default:
                            if (random.Next(200) == 0)
                            {
                                map.Clear();
                            }
                            else if (random.Next(20) == 0)
                            {
                                map.Sweep(random.Next(1_000));
                            }

                            break;
                    }
                }
            },
            () => S3FifoIntegrity.Check(map));
    }

    [Fact]
    public void Soak_UniqueKeys_EveryEntryIsHeldOrEvictedOrRemovedExactlyOnce()
    {
        S3FifoTier map = Create(5_000);
        int next = 0;
        int removed = 0;
        new StressRunner { Workers = 4, Duration = TimeSpan.FromSeconds(1) }.Run(
            worker =>
            {
                for (int i = 0; i < 100; i++)
                {
                    int key = Interlocked.Increment(ref next);
                    map.Set(K(key), new Item(key));
                    if (worker.Random.Next(3) == 0 && map.Remove(K(key - worker.Random.Next(100))))
                    {
                        Interlocked.Increment(ref removed);
                    }
                }
            },
            () =>
            {
                S3FifoIntegrity.Check(map);
                Assert.Equal(next, map.Count + map.Evictions + removed);
            });
    }

    [Fact]
    public void Set_WriteThatReturned_IsSeenByTheNextRead()
    {
        // Half the capacity is enough room that nothing that was just written can have been evicted.
        S3FifoTier map = Create(100_000);
        new StressRunner { Workers = 4, Duration = TimeSpan.FromSeconds(1) }.Run(worker =>
        {
            int key = (worker.Random.Next(1_000) * 4) + worker.Index; // one writer per key, as the cache's stripes have it
            var item = new Item(key);
            map.Set(K(key), item);
            Assert.Same(item, map.Find(K(key)));
            if (worker.Random.Next(2) == 0)
            {
                Assert.True(map.Remove(K(key), item));
                Assert.Null(map.Find(K(key)));
            }
        });
        S3FifoIntegrity.Check(map);
    }

    [Fact]
    public void Table_GrowingUnderReaders_HidesNothing()
    {
        // Readers ask all the time for what is there while the table doubles over and over, and while neighbours come and go.
        const int Steady = 200;
        const int Workers = 4;
        int added = 0;
        S3FifoTier map = Create(1L << 40);
        for (int i = 0; i < Steady; i++)
        {
            map.Set(K(-i), new Item(-i));
        }

        new StressRunner { Workers = Workers, MaxIterations = 20_000, Duration = TimeSpan.FromMinutes(2) }.Run(
            worker =>
            {
                if (worker.Index == 0)
                {
                    for (int i = 0; i < 8; i++)
                    {
                        map.Set(K(++added), new Item(added));
                    }

                    if (worker.Random.Next(2) == 0)
                    {
                        map.Remove(K(worker.Random.Next(1, added + 1)));
                    }
                }

                for (int i = 0; i < 8; i++)
                {
                    int key = -worker.Random.Next(Steady);
                    Assert.Equal(key, ((Item)map.Find(K(key))!).Id);
                }
            },
            () => S3FifoIntegrity.Check(map));
        Assert.Equal(added + Steady, map.Count + Enumerable.Range(1, added).Count(i => map.Find(K(i)) is null));
    }

    private static string K(int key) => key.ToString(CultureInfo.InvariantCulture);

    private static S3FifoTier Create(long capacity) => new(capacity, new ManualTimeProvider());
}
