using Resilience.Context;

namespace Resilience.Caching.Local.S3Fifo;

/// <summary>
/// The local tier on S3-FIFO. A hit is a look-up in a table and a two-bit counter, written only while it changes:
/// no lock, no queue, no reordering.
/// </summary>
/// <remarks>
/// <para>The table is the truth: a write is visible as soon as it is in there, whatever the queues know. Their order follows: every
/// write tries the lock; who gets it puts his own node in order, and those of writers who did not get it and left theirs on a stack.
/// Nobody waits for the lock unless a sixteenth of the capacity is pending; nothing that was written is dropped; there is no thread of its own.</para>
/// <para>A writer pushes, then tries the lock; if that fails there is a holder who looks at the stack again after letting go. In the one moment
/// in which neither sees the other, the node waits on the stack for the next write or the sweep; the full fence that would rule it out waits
/// for every store of the eviction to arrive, and costs more than taking the lock.</para>
/// </remarks>
internal sealed class S3FifoTier : ILocalTier
{
    /// <summary>The most nodes of other writers that one writer puts in order.</summary>
    private const int MaxDrained = 64;

    private const int SweepSlice = 128;
    private const int MaxSwept = 1 << 16;

    /// <summary>The clock is read once in so many writes: it is only there to let the dead go first.</summary>
    private const int WritesPerClockReading = 16;

    private readonly NodeTable _table;
    private readonly S3FifoPolicy _policy;
    private readonly CoarseClock _clock;
    private TryLock _maintenance; // guards _policy, its nodes' links, _backlog, _now and _writes
    private S3FifoNode? _pending; // a stack; pushed by compare-and-swap, taken as a whole
    private S3FifoNode? _backlog; // what was taken and is not yet in order
    private readonly long _slack; // the most weight beyond the capacity that is left to whoever holds the lock
    private long _pendingWeight; // of what was pushed since the stack was last taken
    private long _now;
    private int _writes;

    /// <summary>Makes an empty tier.</summary>
    /// <param name="capacity">The most weight.</param>
    /// <param name="time">The time that entries die by.</param>
    public S3FifoTier(long capacity, TimeProvider time)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        _clock = new CoarseClock(time);
        _now = _clock.Milliseconds;
        _slack = capacity / 16;
        _table = new NodeTable(capacity);
        _policy = new S3FifoPolicy(capacity, _table);
    }

    /// <summary>How many entries are held, as far as the queues know.</summary>
    public long Count => _policy.Count;

    /// <summary>Their weight, as far as the queues know.</summary>
    public long Weight => _policy.Weight;

    /// <inheritdoc/>
    public long Evictions => _policy.Evictions;

    /// <inheritdoc/>
    public LocalEntry? Find(string key) => Find(key.AsSpan());

    /// <inheritdoc/>
    public LocalEntry? Find(ReadOnlySpan<char> key)
    {
        if (_table.Find(key, KeyHash.Of(key)) is not { } node)
        {
            return null;
        }

        byte frequency = node.Frequency;
        if (frequency < S3FifoNode.MaxFrequency)
        {
            node.Frequency = (byte)(frequency + 1);
        }

        return node.Value;
    }

    /// <inheritdoc/>
    public void Set(string key, LocalEntry entry)
    {
        S3FifoNode node = _table.Put(key, KeyHash.Of(key), entry, out LocalEntry? old);
        if (old is null || old.Weight != entry.Weight)
        {
            PutInOrder(node);
        }
    }

    /// <inheritdoc/>
    public bool Remove(string key) => _table.Find(key, KeyHash.Of(key)) is { } node && Remove(node);

    /// <inheritdoc/>
    public bool Remove(string key, LocalEntry expected) => _table.Find(key, KeyHash.Of(key)) is { } node && Remove(node, expected);

    /// <inheritdoc/>
    public void Clear()
    {
        foreach (S3FifoNode node in _table.Nodes())
        {
            Remove(node);
        }
    }

    /// <inheritdoc/>
    public IEnumerable<KeyValuePair<string, LocalEntry>> Entries()
    {
        foreach (S3FifoNode node in _table.Nodes())
        {
            if (node.Value is { } value)
            {
                yield return new KeyValuePair<string, LocalEntry>(node.Key, value);
            }
        }
    }

    /// <inheritdoc/>
    public void Sweep(long now)
    {
        // A bounded number of nodes per call, few per hold of the lock; the next call goes on where this one stopped.
        bool isSwept = false;
        for (int seen = 0; seen < MaxSwept; seen += SweepSlice)
        {
            bool isDone;
            _maintenance.Enter();
            try
            {
                DrainUnderLock(MaxDrained);
                _policy.Trim(now); // what a heavy entry left to the next writer, should none have come
                isSwept = isSwept || _policy.Sweep(now, SweepSlice);
                isDone = isSwept && _backlog is null && Volatile.Read(ref _pending) is null;
            }
            finally
            {
                _maintenance.Exit();
            }

            if (isDone)
            {
                return;
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // Holds nothing but memory.
    }

    /// <summary>Puts every node in order and makes room, then hands the queues out for inspection.</summary>
    internal void Inspect(Action<S3FifoPolicy, IReadOnlyCollection<S3FifoNode>> inspect)
    {
        _maintenance.Enter();
        try
        {
            DrainUnderLock(int.MaxValue);
            while (_policy.Weight > _policy.Capacity)
            {
                _policy.Trim(_now);
            }

            inspect(_policy, [.. _table.Nodes()]);
        }
        finally
        {
            _maintenance.Exit();
        }
    }

    private bool Remove(S3FifoNode node, LocalEntry? expected = null)
    {
        if (!_table.Remove(node, expected))
        {
            return false;
        }

        PutInOrder(node);
        return true;
    }

    private void PutInOrder(S3FifoNode node)
    {
        if (_maintenance.TryEnter())
        {
            try
            {
                if (++_writes % WritesPerClockReading == 0)
                {
                    _now = _clock.Milliseconds;
                }

                _policy.Reconcile(node, _now);
                DrainUnderLock(MaxDrained);
            }
            finally
            {
                _maintenance.Exit();
            }
        }
        else
        {
            Push(node);
            if (Volatile.Read(ref _pendingWeight) > _slack)
            {
                // The holder is not coming forward, and the bound must not give way without limit.
                _maintenance.Enter();
                DrainAndExit();
            }
        }

        // Whoever pushed while the lock was held is seen here.
        for (int round = 0; round < 8 && Volatile.Read(ref _pending) is not null && _maintenance.TryEnter(); round++)
        {
            DrainAndExit();
        }
    }

    private void DrainAndExit()
    {
        try
        {
            DrainUnderLock(MaxDrained);
        }
        finally
        {
            _maintenance.Exit();
        }
    }

    private void Push(S3FifoNode node)
    {
        if (Interlocked.Exchange(ref node.IsPending, true))
        {
            return; // on the stack already; whoever takes it from there sees what has changed since
        }

        Interlocked.Add(ref _pendingWeight, node.Value?.Weight ?? 0);
        S3FifoNode? top;
        do
        {
            top = Volatile.Read(ref _pending);
            node.NextPending = top;
        }
        while (!ReferenceEquals(Interlocked.CompareExchange(ref _pending, node, top), top));
    }

    private void DrainUnderLock(int most)
    {
        if (_backlog is null && Volatile.Read(ref _pending) is null)
        {
            return;
        }

        for (; most > 0; most--)
        {
            if (_backlog is null)
            {
                Interlocked.Exchange(ref _pendingWeight, 0);
                _backlog = Interlocked.Exchange(ref _pending, null);
            }

            if (_backlog is not { } node)
            {
                return;
            }

            _backlog = node.NextPending;
            node.NextPending = null;
            Interlocked.Exchange(ref node.IsPending, false); // before its value is read: a change after this is pushed again
            _policy.Reconcile(node, _now);
        }
    }
}
