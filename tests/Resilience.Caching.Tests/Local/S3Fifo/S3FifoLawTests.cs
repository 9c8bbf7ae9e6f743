using System.Globalization;
using FsCheck;
using FsCheck.Fluent;
using Resilience.Caching.Local;
using Resilience.Caching.Local.S3Fifo;

namespace Resilience.Caching.Tests.Local.S3Fifo;

/// <summary>What the queue and the policy promise, each by itself and on one thread.</summary>
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
    public void Evict_EverybodyOnProbationWasUsed_ProvesABoundedNumberAndTakesTheNext()
    {
        var subject = new Subject(1_000);
        for (int key = 0; key < 1_000; key++)
        {
            subject.Put(key, 1);
            subject.Node(key)!.Frequency = 2;
        }

        subject.Put(5_000, 1);
        Assert.Equal(S3FifoPolicy.MaxSteps, subject.Policy.Main.Count);
        Assert.False(subject.Has(S3FifoPolicy.MaxSteps)); // the first who had not had his turn
        Assert.Equal(1, subject.Policy.Evictions);
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
        subject.Put(51, 9);
        subject.Put(51, 10); // and fits where it stands
        Assert.True(subject.Has(51));
    }

    [Fact]
    public void Ghost_GrowsWithMain()
    {
        Subject subject = AllProven(1_000);
        subject.Put(5_000, 1);
        Assert.True(subject.Policy.GhostCapacity >= 999 * 1.5 / 0.75); // looks back one and a half mains, three quarters full
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

    [Fact]
    public void Sweep_NobodyOnProbation_BeginsWithMain()
    {
        Subject subject = AllProven(10);
        subject.Node(3)!.Value!.DeadAt = 50;
        Assert.True(subject.Policy.Sweep(50, steps: 10));
        Assert.Equal(9, subject.Policy.Count);
    }

    [Fact]
    public void Sweep_RemovedButNotYetTakenOut_TakesItOut()
    {
        Subject subject = AllProven(10);
        Assert.True(subject.Table.Remove(subject.Node(3)!)); // another thread has removed it and not told the policy yet
        Assert.True(subject.Policy.Sweep(0, steps: 10));
        Assert.Equal((9, 9), (subject.Policy.Count, subject.Policy.Weight));
    }

    /// <summary>Three on probation, then ten in main. Whoever the sweep stands on is taken out; it goes on with the next, and looks at nobody twice.</summary>
    [Theory]
    [InlineData(0, 12)] // at nobody yet: twelve are left
    [InlineData(1, 11)] // within probation
    [InlineData(2, 10)] // at the head of probation: main's tail is next
    [InlineData(3, 9)]  // at main's tail
    [InlineData(12, 12)] // at the end: the next round begins
    public void Sweep_WhereItStandsIsTakenOut_GoesOnWithTheNext(int steps, int left)
    {
        Subject subject = AllProven(10);
        for (int key = 100; key < 103; key++)
        {
            S3FifoNode node = subject.Table.Put(K(key), Hash(key), new Item(key), out _);
            node.Weight = 1;
            subject.Policy.Small.Add(node);
        }

        int[] order = [100, 101, 102, .. Enumerable.Range(0, 10)];
        Assert.False(subject.Policy.Sweep(0, steps));
        Assert.True(subject.Remove(order[steps]));
        Assert.False(subject.Policy.Sweep(0, left - 1));
        Assert.True(subject.Policy.Sweep(0, 1));
    }

    private static int Hash(int i) => KeyHash.Of(K(i));

    private static string K(int key) => key.ToString(CultureInfo.InvariantCulture);

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
            S3FifoNode node = Table.Put(K(key), Hash(key), entry, out LocalEntry? old);
            Assert.NotSame(entry, old);
            Assert.Same(entry, node.Value);
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
