using System.Globalization;
using FsCheck;
using FsCheck.Fluent;
using Resilience.Caching.Local.S3Fifo;

namespace Resilience.Caching.Tests.Local.S3Fifo;

/// <summary>What the queue, the ghost and the policy promise, each by itself and on one thread.</summary>
public sealed class S3FifoLawTests
{
    [Fact]
    public void Queue_AnyComingAndGoing_IsWhatAPlainListSays() =>
        Prop.ForAll(Gen.Choose(0, 9_999).ArrayOf().ToArbitrary(), steps =>
        {
            var queue = new S3FifoQueue(Queue.Main);
            var model = new List<S3FifoNode>(); // newest first
            foreach (int step in steps)
            {
                switch (step % 4)
                {
                    case 0 when model.Count > 0:
                        S3FifoNode leaving = model[step / 4 % model.Count];
                        model.Remove(leaving);
                        queue.Remove(leaving);
                        Assert.Equal((Queue.None, null, null), (leaving.Queue, leaving.TowardsHead, leaving.TowardsTail));
                        break;
                    case 1 when model.Count > 0:
                        S3FifoNode heavier = model[step / 4 % model.Count];
                        queue.Reweigh(heavier, step / 4);
                        Assert.Equal(step / 4, heavier.Weight);
                        break;
                    default:
                        var node = new S3FifoNode("key", new Item(step), step) { Weight = step % 7 };
                        model.Insert(0, node);
                        queue.Add(node);
                        Assert.Equal(Queue.Main, node.Queue);
                        break;
                }

                Assert.Equal(model, Forward(queue));
                Assert.Equal(Enumerable.Reverse(model), Backward(queue));
                Assert.Equal(model.Sum(node => node.Weight), queue.Weight);
                Assert.Equal(model.Count, queue.Count);
            }
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(60).WithEndSize(60));

    [Fact]
    public void Policy_AnyHistory_EqualsTheSequentialModel()
    {
        Gen<(int Kind, int Key, int Weight)> step =
            from kind in Gen.Frequency((10, Gen.Constant(0)), (8, Gen.Constant(1)), (1, Gen.Constant(2)))
            from key in Gen.Choose(0, 40)
            from weight in Gen.Frequency((6, Gen.Constant(1)), (3, Gen.Choose(1, 6)), (1, Gen.Choose(1, 45)))
            select (kind, key, weight);
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(120).WithEndSize(250), Prop.ForAll(Gen.Choose(1, 40).ToArbitrary(), step.ListOf().ToArbitrary(), (capacity, steps) =>
        {
            var subject = new Subject(capacity);
            var model = new SequentialS3Fifo(capacity);
            foreach ((int kind, int key, int weight) in steps)
            {
                switch (kind)
                {
                    case 0:
                        Assert.Equal(model.Read(key), subject.Read(key));
                        break;
                    case 1:
                        model.Write(key, weight);
                        subject.Put(key, weight);
                        break;
                    default:
                        Assert.Equal(model.Remove(key), subject.Remove(key));
                        break;
                }

                Assert.Equal(model.Small, OldestFirst(subject.Policy.Small));
                Assert.Equal(model.Main, OldestFirst(subject.Policy.Main));
                Assert.Equal(model.Small.Count + model.Main.Count, subject.Policy.Count);
                Assert.Equal(model.Small.Concat(model.Main).Sum(entry => entry.Weight), subject.Policy.Weight);
                Assert.Equal(subject.Policy.Count, subject.Table.Count);
            }
        }));
    }

    [Fact]
    public void Policy_TenthOfTheWeightIsOnProbation_AndWhoComesBackInTimeIsProven()
    {
        var subject = new Subject(100);
        for (int key = 0; key < 100; key++)
        {
            subject.Put(key, 1);
        }

        Assert.Equal((100, 0, 0), (subject.Policy.Small.Count, subject.Policy.Main.Count, subject.Policy.Evictions));
        subject.Put(100, 1); // room for one: the oldest on probation goes, and is remembered
        Assert.False(subject.Has(0));
        Assert.Equal(1, subject.Policy.Evictions);
        subject.Put(0, 1);
        Assert.Equal([(0, 1L)], OldestFirst(subject.Policy.Main));
    }

    [Fact]
    public void Evict_UsedTwiceOnProbation_MovesToMainAndStartsThereAnew()
    {
        var subject = new Subject(10);
        for (int key = 0; key < 10; key++)
        {
            subject.Put(key, 1);
        }

        subject.Read(0);
        subject.Read(0);
        subject.Read(1);
        subject.Put(10, 1);
        Assert.Equal([(0, 1L)], OldestFirst(subject.Policy.Main));
        Assert.Equal(0, subject.Node(0)!.Frequency);
        Assert.False(subject.Has(1)); // once is no proof
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Evict_DeadOnes_GoHoweverMuchTheyWereUsedAndAreNotRemembered(bool isDead)
    {
        var subject = new Subject(10);
        for (int key = 0; key < 10; key++)
        {
            subject.Put(key, 1, deadAt: key == 0 ? 50 : long.MaxValue);
        }

        for (int i = 0; i < 3; i++)
        {
            subject.Read(0);
        }

        subject.Now = isDead ? 50 : 49;
        subject.Put(10, 1);
        Assert.Equal(!isDead, subject.Has(0));
        Assert.Equal(isDead, subject.Has(1));
        if (isDead)
        {
            subject.Put(0, 1);
            Assert.Equal(0, subject.Policy.Main.Count); // its return is no proof: it had not been driven out
        }
    }

    [Fact]
    public void Evict_DeadOneInMain_GoesAtItsTurnWhateverItsCount()
    {
        Subject subject = AllProven(10);
        subject.Node(0)!.Frequency = 3;
        subject.Node(0)!.Value!.DeadAt = 50;
        subject.Now = 50;
        subject.Put(100, 1);
        Assert.False(subject.Has(0));
        Assert.Equal(9, subject.Policy.Main.Count);
    }

    [Fact]
    public void Evict_FromMain_GoesRoundOnceForEachUseAndForgetsWhoLeaves()
    {
        Subject subject = AllProven(10);
        subject.Node(0)!.Frequency = 1;
        subject.Put(100, 1);
        Assert.True(subject.Has(0));
        Assert.Equal(0, subject.Node(0)!.Frequency);
        Assert.False(subject.Has(1));
        Assert.Same(subject.Node(0), subject.Policy.Main.Head);
        subject.Put(1, 1);
        Assert.Equal(Queue.Small, subject.Node(1)!.Queue); // main's evicted go through probation again
    }

    [Fact]
    public void Evict_EverybodyInMainWasUsed_TakesTheTailAfterABoundedNumberOfSteps()
    {
        Subject subject = AllProven(1_000);
        foreach (S3FifoNode node in Forward(subject.Policy.Main))
        {
            node.Frequency = 3;
        }

        subject.Put(5_000, 1);
        Assert.Equal(999, subject.Policy.Main.Count);
        Assert.Equal(S3FifoPolicy.MaxSteps, Forward(subject.Policy.Main).Count(node => node.Frequency == 2));
        Assert.False(subject.Has(S3FifoPolicy.MaxSteps)); // the first who had not had his turn
    }

    [Fact]
    public void Evict_MuchAtOnce_IsBoundedACallAndGoesOnWithTheNext()
    {
        var subject = new Subject(1_000);
        for (int key = 0; key < 1_000; key++)
        {
            subject.Put(key, 1);
        }

        subject.Put(5_000, 500);
        Assert.Equal(S3FifoPolicy.MaxEvictions, subject.Policy.Evictions);
        int calls = 1;
        for (; subject.Policy.Weight > subject.Policy.Capacity; calls++)
        {
            long before = subject.Policy.Evictions;
            subject.Policy.Trim(subject.Now);
            Assert.InRange(subject.Policy.Evictions - before, 1, S3FifoPolicy.MaxEvictions);
        }

        Assert.Equal(1_000, subject.Policy.Weight);
        Assert.Equal(8, calls); // 500 in steps of 64
        Assert.True(subject.Has(5_000));
    }

    [Fact]
    public void Put_HeavierThanEverything_StaysOutAndDrivesNobodyOut()
    {
        var subject = new Subject(10);
        for (int key = 0; key < 10; key++)
        {
            subject.Put(key, 1);
        }

        subject.Put(50, 11);
        Assert.False(subject.Has(50));
        Assert.Equal((10, 10), (subject.Policy.Count, subject.Policy.Weight));
        subject.Put(0, 11); // grows too heavy where it stands
        Assert.False(subject.Has(0));
        Assert.Equal((9, 9), (subject.Policy.Count, subject.Policy.Weight));
        subject.Put(51, 10);
        Assert.True(subject.Has(51)); // exactly everything fits
        Assert.Equal((1, 10), (subject.Policy.Count, subject.Policy.Weight));
    }

    [Fact]
    public void Remove_FromEitherQueue_LeavesNothingBehind()
    {
        Subject subject = AllProven(10);
        subject.Put(100, 1);
        Assert.True(subject.Remove(100));
        Assert.True(subject.Remove(5));
        Assert.False(subject.Remove(5));
        Assert.Equal((0, 8, 8), (subject.Policy.Small.Count, subject.Policy.Main.Count, subject.Policy.Weight));
        long evictions = subject.Policy.Evictions;
        subject.Policy.Trim(subject.Now);
        Assert.Equal(evictions, subject.Policy.Evictions); // a removal is no eviction
    }

    [Fact]
    public void Evict_RemovedButNotYetTakenOut_IsTakenOutAndCountedAsNoEviction()
    {
        var small = new Subject(10);
        for (int key = 0; key < 10; key++)
        {
            small.Put(key, 1);
        }

        Subject main = AllProven(10);
        foreach (Subject subject in new[] { small, main })
        {
            long before = subject.Policy.Evictions;
            Assert.True(subject.Table.Remove(subject.Node(0)!)); // another thread has removed it and not told the policy yet
            subject.Put(100, 1);
            Assert.Equal(before, subject.Policy.Evictions);
            Assert.Equal(10, subject.Policy.Count);
            Assert.True(subject.Has(1));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(1_000)]
    public void Sweep_InPieces_FindsEveryDeadOneInBothQueuesAndNoOther(int steps)
    {
        Subject subject = AllProven(40);
        for (int key = 100; key < 105; key++)
        {
            subject.Put(key, 1); // some on probation
        }

        int[] dying = [.. Forward(subject.Policy.Small).Concat(Forward(subject.Policy.Main)).Select(node => IdOf(node)).Where(id => id % 3 == 0)];
        foreach (int id in dying)
        {
            subject.Node(id)!.Value!.DeadAt = 50;
        }

        long count = subject.Policy.Count;
        long evictions = subject.Policy.Evictions;
        Assert.Equal(count, Swept(subject, steps, now: 49));
        Assert.Equal(count - dying.Length, Swept(subject, steps, now: 50));
        Assert.All(dying, id => Assert.False(subject.Has(id)));
        Assert.Equal(subject.Policy.Count, subject.Table.Count);
        Assert.Equal(evictions, subject.Policy.Evictions);
    }

    [Fact]
    public void Sweep_WhereItStandsIsTakenOutMeanwhile_GoesOnFromThere()
    {
        var subject = new Subject(40);
        for (int key = 0; key < 40; key++)
        {
            subject.Put(key, 1, deadAt: key >= 20 ? 50 : long.MaxValue);
        }

        subject.Now = 50;
        Assert.False(subject.Policy.Sweep(50, steps: 10)); // stands on 10 now
        for (int key = 10; key < 15; key++)
        {
            Assert.True(subject.Remove(key));
        }

        Assert.True(subject.Policy.Sweep(50, steps: 25)); // 15 to 39: as many as are left, so nobody is looked at twice
        Assert.Equal(15, subject.Policy.Count);
        Assert.True(subject.Policy.Sweep(50, steps: 16));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(10)]
    [InlineData(1_000)]
    public void Ghost_UnitWeights_RemembersForExactlyItsWindow(int window)
    {
        var ghost = new GhostTable(window, capacity: 4_096);
        ghost.Add(Hash(0), 1);
        for (int i = 1; i < window; i++)
        {
            ghost.Add(Hash(i), 1);
        }

        GhostTable late = Copy(window);
        Assert.True(ghost.Take(Hash(0)));  // window - 1 have passed since
        Assert.False(ghost.Take(Hash(0))); // and is forgotten
        late.Add(Hash(window), 1);
        Assert.False(late.Take(Hash(0)));  // window have
        Assert.True(late.Take(Hash(1)));

        static GhostTable Copy(int window)
        {
            var copy = new GhostTable(window, capacity: 4_096);
            for (int i = 0; i < window; i++)
            {
                copy.Add(Hash(i), 1);
            }

            return copy;
        }
    }

    [Fact]
    public void Ghost_Weights_AreWhatItsClockCounts()
    {
        var ghost = new GhostTable(window: 1_000_000, capacity: 100);
        ghost.Add(1, 1);
        ghost.Add(2, 499_000);
        Assert.True(ghost.Take(1));
        ghost.Add(1, 1);
        ghost.Add(3, 999_000);
        Assert.True(ghost.Take(1));
        ghost.Add(1, 1);
        ghost.Add(4, 1_001_000);
        Assert.False(ghost.Take(1));
        Assert.False(ghost.Take(99));
    }

    [Fact]
    public void Ghost_AddedAgain_StandsOnceAndIsAsYoungAsTheLatest()
    {
        var ghost = new GhostTable(window: 10, capacity: 100);
        ghost.Add(1, 1);
        for (int i = 0; i < 8; i++)
        {
            ghost.Add(2, 1);
        }

        ghost.Add(1, 1);
        for (int i = 0; i < 5; i++)
        {
            ghost.Add(2, 1);
        }

        Assert.True(ghost.Take(1)); // 5 have passed, not 14
        Assert.False(ghost.Take(1));
    }

    [Fact]
    public void Ghost_FullBucket_TheOldestGivesWay()
    {
        int[] together = [.. SameBucket(0x12345).Take(9)];
        var ghost = new GhostTable(window: 1_000, capacity: 4_096);
        foreach (int hash in together)
        {
            ghost.Add(hash, 1);
        }

        Assert.False(ghost.Take(together[0]));
        Assert.All(together.Skip(1), hash => Assert.True(ghost.Take(hash)));
    }

    [Fact]
    public void Ghost_FreedPlace_IsTakenBeforeAnybodyGivesWay()
    {
        int[] together = [.. SameBucket(0x12345).Take(9)];
        var ghost = new GhostTable(window: 1_000, capacity: 4_096);
        foreach (int hash in together.Take(8))
        {
            ghost.Add(hash, 1);
        }

        Assert.True(ghost.Take(together[3]));
        ghost.Add(together[8], 1);
        Assert.All(together.Where((_, i) => i != 3), hash => Assert.True(ghost.Take(hash)));
    }

    [Fact]
    public void Ghost_HashOfZero_IsRememberedLikeAnyOther()
    {
        var ghost = new GhostTable(window: 10, capacity: 100);
        Assert.False(ghost.Take(0));
        ghost.Add(0, 1);
        Assert.True(ghost.Take(0));
        Assert.False(ghost.Take(0));
    }

    [Fact]
    public void Ghost_Grows_KeepsWhatItKnewUntilThatHasAgedAndThenLetsTheOldTableGo()
    {
        var ghost = new GhostTable(window: 100, capacity: 8);
        long capacity = ghost.Capacity;
        Assert.Equal(16, capacity); // twice what was asked for, and never less than two buckets
        Assert.Equal(0, ghost.Bytes); // nothing is taken before something is put in
        ghost.Add(1, 1);
        Assert.Equal(capacity * sizeof(ulong), ghost.Bytes);
        ghost.EnsureCapacity((long)(capacity * 0.75));
        Assert.Equal(capacity, ghost.Capacity); // three quarters are room enough
        ghost.EnsureCapacity((long)(capacity * 0.75) + 1);
        Assert.True(ghost.Capacity >= capacity + ((capacity * 0.75) + 1) / 0.75);
        Assert.True(ghost.Take(1));

        ghost.Add(2, 1);
        ghost.EnsureCapacity(5_000);
        long both = ghost.Capacity;
        ghost.Add(3, 99);
        Assert.Equal(both, ghost.Capacity);
        Assert.True(ghost.Take(2)); // 99 have passed
        ghost.Add(4, 2);
        Assert.True(ghost.Capacity < both); // whatever was in the old table has aged
        Assert.True(System.Numerics.BitOperations.IsPow2(ghost.Capacity));
        Assert.InRange(ghost.Capacity, (long)(5_000 / 0.75), (long)(5_000 / 0.75 * 2) + 2);
        Assert.InRange(ghost.Bytes, 1, ghost.Capacity * sizeof(ulong));
    }

    [Fact]
    public void Ghost_ManyKeys_RemembersNearlyAllOfTheWindowAndNothingBeyondIt()
    {
        const int Window = 20_000;
        var ghost = new GhostTable(Window, capacity: Window);
        for (int i = 0; i < 3 * Window; i++)
        {
            ghost.Add(Hash(i), 1);
        }

        int within = Enumerable.Range(2 * Window, Window).Count(i => ghost.Take(Hash(i)));
        Assert.InRange(within, (int)(Window * 0.97), Window);
        Assert.All(Enumerable.Range(0, 2 * Window), i => Assert.False(ghost.Take(Hash(i))));
    }

    private static int Hash(int i) => KeyHash.Of(K(i));

    private static string K(int key) => key.ToString(CultureInfo.InvariantCulture);

    /// <summary>Hashes that differ and fall into one bucket: the bucket is told by the middle bits of a product.</summary>
    private static IEnumerable<int> SameBucket(int first) =>
        Enumerable.Range(first, int.MaxValue - first).Where(hash => Bucket(hash) == Bucket(first));

    private static uint Bucket(int hash) => (uint)(((uint)hash * 0x9E3779B97F4A7C15UL) >> 32) & 8_191 & ~7u;

    private static int IdOf(S3FifoNode node) => int.Parse(node.Key, CultureInfo.InvariantCulture);

    private static List<(int Key, long Weight)> OldestFirst(S3FifoQueue queue) => [.. Backward(queue).Select(node => (IdOf(node), node.Weight))];

    private static List<S3FifoNode> Forward(S3FifoQueue queue)
    {
        var nodes = new List<S3FifoNode>();
        for (S3FifoNode? node = queue.Head; node is not null; node = node.TowardsTail)
        {
            nodes.Add(node);
        }

        return nodes;
    }

    private static List<S3FifoNode> Backward(S3FifoQueue queue)
    {
        var nodes = new List<S3FifoNode>();
        for (S3FifoNode? node = queue.Tail; node is not null; node = node.TowardsHead)
        {
            nodes.Add(node);
        }

        return nodes;
    }

    /// <summary>Sweeps to the end and says how many are left.</summary>
    private static long Swept(Subject subject, int steps, long now)
    {
        int calls = 0;
        while (!subject.Policy.Sweep(now, steps))
        {
            Assert.True(++calls < 1_000, "the sweep comes to no end");
        }

        return subject.Policy.Count;
    }

    /// <summary>A policy whose keys, 0 to <paramref name="capacity"/> - 1 and oldest first, all stand in main.</summary>
    private static Subject AllProven(int capacity)
    {
        var subject = new Subject(capacity);
        for (int key = 0; key < capacity; key++)
        {
            S3FifoNode node = subject.Table.Put(K(key), Hash(key), new Item(key), out _);
            node.Weight = 1;
            subject.Policy.Main.Add(node);
        }

        return subject;
    }

    /// <summary>The policy with its table, as the engine uses them, on one thread.</summary>
    private sealed class Subject
    {
        public Subject(long capacity)
        {
            Table = new NodeTable(capacity);
            Policy = new S3FifoPolicy(capacity, Table);
        }

        public NodeTable Table { get; }

        public S3FifoPolicy Policy { get; }

        public long Now { get; set; }

        public S3FifoNode? Node(int key) => Table.Find(K(key), Hash(key));

        public bool Has(int key) => Node(key)?.Value is not null;

        public void Put(int key, long weight, long deadAt = long.MaxValue)
        {
            var entry = new Item(key, weight, deadAt);
            S3FifoNode node = Table.Put(K(key), Hash(key), entry, out _);
            Policy.Reconcile(node, Now);
        }

        public bool Read(int key)
        {
            if (Node(key) is not { Value: not null } node)
            {
                return false;
            }

            node.Frequency = (byte)Math.Min(S3FifoNode.MaxFrequency, node.Frequency + 1);
            return true;
        }

        public bool Remove(int key)
        {
            if (Node(key) is not { } node || !Table.Remove(node))
            {
                return false;
            }

            Policy.Reconcile(node, Now);
            return true;
        }
    }
}
