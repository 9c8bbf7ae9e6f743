using Resilience.TestKit;

namespace Resilience.Pools.Tests.Core;

public sealed class IdleStackTests : IDisposable
{
    private readonly ResourcePool<Resource> _pool = new("test", new Factory());
    private IdleStack _stack;

    public void Dispose() => _pool.Dispose();

    private PoolEntry<Resource>[] Entries(int count) => [.. Enumerable.Range(0, count).Select(index => new PoolEntry<Resource>(_pool, index))];

    [Fact]
    public void Pop_SeveralPushed_ComeNewestFirst()
    {
        PoolEntry<Resource>[] entries = Entries(3);
        Assert.True(_stack.IsEmpty);
        foreach (PoolEntry<Resource> entry in entries)
        {
            _stack.Push(entry);
        }

        Assert.Equal([2, 1, 0], new[] { _stack.Pop(ref entries)!.Index, _stack.Pop(ref entries)!.Index, _stack.Pop(ref entries)!.Index });
        Assert.Null(_stack.Pop(ref entries));
        Assert.True(_stack.IsEmpty);
    }

    /// <summary>Few entries and many threads: a head that goes away and comes back between a read and its swap is the rule, not the exception.</summary>
    [Fact]
    public void PushAndPop_HeadGoesAwayAndComesBack_NobodyGetsOneTwiceAndNoneIsLost()
    {
        PoolEntry<Resource>[] entries = Entries(3);
        int[] owners = new int[entries.Length];
        foreach (PoolEntry<Resource> entry in entries)
        {
            _stack.Push(entry);
        }

        new StressRunner { Workers = 4 }.Run(worker =>
        {
            PoolEntry<Resource>? one = _stack.Pop(ref entries);
            PoolEntry<Resource>? two = worker.Random.Next(2) == 0 ? _stack.Pop(ref entries) : null;
            foreach (PoolEntry<Resource>? mine in new[] { one, two })
            {
                if (mine is not null)
                {
                    Assert.Equal(0, Interlocked.Exchange(ref owners[mine.Index], 1));
                    Volatile.Write(ref owners[mine.Index], 0);
                    _stack.Push(mine);
                }
            }
        });
        var left = new HashSet<int>();
        while (_stack.Pop(ref entries) is { } entry)
        {
            Assert.True(left.Add(entry.Index));
        }

        Assert.Equal(entries.Length, left.Count);
    }

    [Fact]
    public void Entry_ReservedWhereItLies_IsNotLinkedTwice()
    {
        PoolEntry<Resource> entry = Entries(1)[0];
        entry.Move(EntryState.Dead, EntryState.Creating);
        entry.Move(EntryState.Creating, EntryState.Reserved);
        Assert.True(entry.MoveToIdle(EntryState.Reserved), "an entry that is not on the stack has to be linked");
        Assert.True(entry.TrySwap(entry.ReadWord(), (entry.ReadWord() & ~EntryWord.StateMask) | (long)EntryState.Reserved));
        Assert.False(entry.MoveToIdle(EntryState.Reserved), "an entry that still is on the stack must not be linked again");
    }

    [Fact]
    public void Entry_LeaseEnded_VersionMovesOnAndTheOldLeaseEndsNothing()
    {
        PoolEntry<Resource> entry = Entries(1)[0];
        entry.Move(EntryState.Dead, EntryState.Creating);
        entry.Move(EntryState.Creating, EntryState.Reserved);
        long version = entry.Move(EntryState.Reserved, EntryState.Leased);
        Assert.True(entry.MarkInvalid(version));
        Assert.True(entry.TryEndLease(version, EntryState.Reserved, out bool invalid));
        Assert.True(invalid);
        long next = entry.Move(EntryState.Reserved, EntryState.Leased);
        Assert.NotEqual(version, next);
        Assert.False(entry.MarkInvalid(version));
        Assert.False(entry.TryEndLease(version, EntryState.Reserved, out _));
        Assert.True(EntryWord.IsLeased(entry.ReadWord(), next));
    }
}
