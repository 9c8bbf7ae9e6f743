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
