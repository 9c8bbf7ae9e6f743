using System.Globalization;
using FsCheck;
using FsCheck.Fluent;
using Resilience.Caching.Local.S3Fifo;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Local.S3Fifo;

public class S3FifoTierTests
{
    private readonly ManualTimeProvider _time = new();

    [Fact]
    public void AnyHistory_OneThread_EqualsTheSequentialModel()
    {
        Gen<(int Kind, int Key, int Weight)> step =
            from kind in Gen.Frequency((10, Gen.Constant(0)), (8, Gen.Constant(1)), (1, Gen.Constant(2)))
            from key in Gen.Choose(0, 40)
            from weight in Gen.Frequency((6, Gen.Constant(1)), (3, Gen.Choose(1, 6)), (1, Gen.Choose(1, 45)))
            select (kind, key, weight);
        Check.One(
            Config.QuickThrowOnFailure.WithMaxTest(400).WithEndSize(400),
            Prop.ForAll(Gen.Choose(1, 40).ToArbitrary(), step.ListOf().ToArbitrary(), (capacity, steps) =>
            {
                S3FifoTier map = Create(capacity);
                var model = new SequentialS3Fifo(capacity);
                foreach ((int kind, int key, int weight) in steps)
                {
                    switch (kind)
                    {
                        case 0:
                            Assert.Equal(model.Read(key), map.Find(K(key)) is not null);
                            break;
                        case 1:
                            model.Write(key, weight);
                            map.Set(K(key), new Item(key, weight));
                            break;
                        default:
                            Assert.Equal(model.Remove(key), map.Remove(K(key)));
                            break;
                    }

                    map.Inspect((policy, _) =>
                    {
                        Assert.Equal(model.Small, OldestFirst(policy.Small));
                        Assert.Equal(model.Main, OldestFirst(policy.Main));
                    });
                }

                S3FifoIntegrity.Check(map);
                return true;
            }));
    }

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
    public void Set_HeavierThanTheWholeMap_LeavesTheOthersAlone()
    {
        S3FifoTier map = Create(10);
        map.Set(K(1), new Item(1));
        map.Set(K(2), new Item(2, 11));
        Assert.Null(map.Find(K(2)));
        map.Set(K(1), new Item(1, 11));
        Assert.Null(map.Find(K(1)));
        map.Set(K(3), new Item(3, 10));
        Assert.NotNull(map.Find(K(3)));
        S3FifoIntegrity.Check(map);
    }

    [Fact]
    public void Set_ReplacedByTheEngineUnderAWriter_IsNotLost()
    {
        S3FifoTier map = Create(1);
        for (int i = 0; i < 1_000; i++)
        {
            map.Set(K(i % 2), new Item(i % 2));
            Assert.NotNull(map.Find(K(i % 2)));
        }
    }

    [Fact]
    public void Find_DeadEntry_IsStillHandedOut()
    {
        S3FifoTier map = Create(10);
        map.Set(K(1), new Item(1, deadAt: 0));
        Assert.NotNull(map.Find(K(1))); // readers judge the time themselves
    }

    [Fact]
    public void Sweep_RemovesTheDeadAndNoOther()
    {
        S3FifoTier map = Create(100_000);
        for (int i = 0; i < 10_000; i++)
        {
            map.Set(K(i), new Item(i, deadAt: i % 2 == 0 ? 50 : 150));
        }

        map.Sweep(100);
        Assert.Equal(5_000, map.Count);
        Assert.Null(map.Find(K(0)));
        Assert.NotNull(map.Find(K(1)));
        Assert.Equal(0, map.Evictions);
        S3FifoIntegrity.Check(map);
    }

    [Fact]
    public void Sweep_MoreThanOneCallMayLookAt_GoesOnWhereItStopped()
    {
        const int Entries = 150_000; // a call looks at 65,536
        S3FifoTier map = Create(1_000_000);
        for (int i = 0; i < Entries; i++)
        {
            map.Set(K(i), new Item(i, deadAt: 50));
        }

        map.Sweep(100);
        Assert.InRange(map.Count, Entries - 65_536, Entries - 60_000);
        map.Sweep(100);
        map.Sweep(100);
        Assert.Equal(0, map.Count);
        S3FifoIntegrity.Check(map);
    }

    [Fact]
    public void Sweep_HeavyEntryLeftTooMuch_TrimsToTheBound()
    {
        S3FifoTier map = Create(10_000);
        for (int i = 0; i < 10_000; i++)
        {
            map.Set(K(i), new Item(i));
        }

        map.Set("heavy", new Item(-1, weight: 5_000)); // one call evicts 64 at most
        Assert.True(map.Weight > 10_000);
        for (int i = 0; i < 10 && map.Weight > 10_000; i++)
        {
            map.Sweep(0);
        }

        Assert.InRange(map.Weight, 5_000, 10_000);
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

    [Fact]
    public void Clear_RemovesEverythingAndTakesNewEntries()
    {
        S3FifoTier map = Create(1_000);
        for (int i = 0; i < 1_000; i++)
        {
            map.Set(K(i), new Item(i));
        }

        map.Clear();
        Assert.Equal(0, map.Count);
        Assert.Empty(map.Entries());
        map.Set(K(1), new Item(1));
        Assert.Equal(K(1), Assert.Single(map.Entries()).Key);
        S3FifoIntegrity.Check(map);
    }

    [Fact]
    public void KeyHash_ManyKeys_SpreadOverAllBits()
    {
        int[] hashes = [.. Enumerable.Range(0, 100_000).Select(i => KeyHash.Of($"product:{i}"))];
        Assert.InRange(hashes.Distinct().Count(), 99_990, 100_000);
        for (int bit = 0; bit < 32; bit++)
        {
            Assert.InRange(hashes.Count(hash => (hash >> bit & 1) == 1), 48_500, 51_500);
        }
    }

    [Fact]
    public void Set_DeadEntryAtTheTail_GoesBeforeAnyUse()
    {
        S3FifoTier map = Create(100);
        map.Set(K(0), new Item(0, deadAt: 1));
        for (int use = 0; use < 3; use++)
        {
            map.Find(K(0));
        }

        _time.Advance(TimeSpan.FromHours(1));
        for (int i = 1; i <= 100; i++)
        {
            map.Set(K(i), new Item(i));
        }

        Assert.Null(map.Find(K(0)));
        Assert.Equal(100, map.Count);
    }

    [Fact]
    public void Find_Hit_AllocatesNothing()
    {
        S3FifoTier map = Create(10);
        map.Set(K(1), new Item(1));
        AllocationAssert.AtMost(0, () => map.Find("1"));
        AllocationAssert.AtMost(0, () => map.Find("key:1".AsSpan(4)));
        Assert.Same(map.Find("1"), map.Find("key:1".AsSpan(4)));
    }

    [Fact]
    public void Set_WithEviction_AllocatesTheNodeAlone()
    {
        S3FifoTier map = Create(1_000);
        var item = new Item(0);
        string[] keys = [.. Enumerable.Range(0, 100_000).Select(K)];
        int next = 0;
        AllocationAssert.AtMost(88, () => map.Set(keys[next++ % keys.Length], item), 20_000); // the node; the entry is the caller's
    }

    [Fact]
    public void Ghost_WhateverPasses_StaysBounded()
    {
        var ghost = new GhostTable(1_000, 1_000);
        for (int i = 0; i < 1_000_000; i++)
        {
            ghost.Add(i, 1);
        }

        Assert.InRange(ghost.Capacity, 1_000, 8_000);
        Assert.False(ghost.Take(0));
        int remembered = Enumerable.Range(999_000, 1_000).Count(ghost.Take);
        Assert.InRange(remembered, 990, 1_000); // a full bucket forgets its oldest
    }

    [Fact]
    public void Ghost_Large_TakesMemoryPieceByPiece()
    {
        var ghost = new GhostTable(10_000_000, 10_000_000);
        Assert.Equal(0, ghost.Bytes);
        Assert.False(ghost.Take(1));
        ghost.Add(1, 1);
        Assert.True(ghost.Take(1));
        Assert.Equal(32 << 10, ghost.Bytes);
    }

    [Fact]
    public void Ghost_Growing_KeepsWhatItKnew()
    {
        var ghost = new GhostTable(1_000, 31);
        ghost.Add(1, 1);
        ghost.EnsureCapacity(10_000);
        ghost.Add(2, 1);
        Assert.True(ghost.Take(1));
        Assert.False(ghost.Take(1));
        Assert.True(ghost.Take(2));
    }

    private static string K(int key) => key.ToString(CultureInfo.InvariantCulture);

    private static List<(int Key, long Weight)> OldestFirst(S3FifoQueue queue)
    {
        var entries = new List<(int Key, long Weight)>();
        for (S3FifoNode? node = queue.Tail; node is not null; node = node.TowardsHead)
        {
            entries.Add((int.Parse(node.Key, CultureInfo.InvariantCulture), node.Weight));
        }

        return entries;
    }

    private S3FifoTier Create(long capacity) => new(capacity, _time);
}
