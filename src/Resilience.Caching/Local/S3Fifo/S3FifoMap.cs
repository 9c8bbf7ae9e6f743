using System.Collections.Concurrent;
using Resilience.Context;

namespace Resilience.Caching.Local.S3Fifo;

/// <summary>
/// A bounded concurrent map that evicts by S3-FIFO. A hit is a dictionary read and a two-bit counter, written only while it changes:
/// no lock, no queue, no reordering.
/// </summary>
/// <remarks>
/// <para>The dictionary is the truth: a write is visible as soon as it is in there, whatever the queues know. Their order follows: every
/// write tries the lock; who gets it puts his own node in order, and those of writers who did not get it and left theirs on a stack.
/// Nobody waits for the lock, nothing that was written is dropped, and no thread of its own is needed.</para>
/// <para>No node is left behind: a writer pushes, then tries the lock; if that fails there is a holder who looks at the stack again after
/// letting go, with a full fence between the two.</para>
/// </remarks>
/// <typeparam name="TKey">The keys.</typeparam>
/// <typeparam name="TValue">The values.</typeparam>
/// <typeparam name="TTraits">What is to be known of values.</typeparam>
internal class S3FifoMap<TKey, TValue, TTraits>
    where TKey : notnull
    where TValue : class
    where TTraits : IEntryTraits<TValue>
{
    /// <summary>The most nodes of other writers that one writer puts in order.</summary>
    private const int MaxDrained = 64;

    /// <summary>The most room made in advance; beyond it tables grow with what they hold.</summary>
    private const int MaxPresized = 1 << 16;

    private const int SweepSlice = 128;
    private const int MaxSwept = 1 << 16;

    private readonly ConcurrentDictionary<TKey, S3FifoNode<TKey, TValue>> _map;
    private readonly IEqualityComparer<TKey> _comparer;
    private readonly Lock _maintenance = new(); // guards _policy, its nodes' links and _backlog
    private readonly S3FifoPolicy<TKey, TValue, TTraits> _policy;
    private readonly CoarseClock _clock;
    private S3FifoNode<TKey, TValue>? _pending; // a stack; pushed by compare-and-swap, taken as a whole
    private S3FifoNode<TKey, TValue>? _backlog; // what was taken and is not yet in order

    /// <summary>Makes an empty map.</summary>
    /// <param name="capacity">The most weight.</param>
    /// <param name="clock">The clock that values die by.</param>
    /// <param name="expectedCount">How many entries to make room for at first.</param>
    /// <param name="comparer">Compares keys.</param>
    public S3FifoMap(long capacity, CoarseClock clock, long expectedCount = 0, IEqualityComparer<TKey>? comparer = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        int expected = (int)Math.Clamp(expectedCount, 31, MaxPresized);
        _clock = clock;
        _comparer = comparer ?? EqualityComparer<TKey>.Default;
        _map = new ConcurrentDictionary<TKey, S3FifoNode<TKey, TValue>>(Environment.ProcessorCount, expected + (expected / 8), comparer);
        _policy = new S3FifoPolicy<TKey, TValue, TTraits>(capacity, expected, node => _map.TryRemove(new(node.Key, node)));
    }

    /// <summary>How many entries are held, as far as the queues know.</summary>
    public long Count => _policy.Count;

    /// <summary>Their weight, as far as the queues know.</summary>
    public long Weight => _policy.Weight;

    /// <summary>How many were evicted for want of room.</summary>
    public long Evictions => _policy.Evictions;

    /// <summary>The dictionary, for look-ups by other key types and for enumeration.</summary>
    protected ConcurrentDictionary<TKey, S3FifoNode<TKey, TValue>> Map => _map;

    /// <summary>Finds a value and counts the use.</summary>
    public TValue? Find(TKey key) => _map.TryGetValue(key, out S3FifoNode<TKey, TValue>? node) ? Use(node) : null;

    /// <summary>Puts a value, over the one that may be there.</summary>
    public void Set(TKey key, TValue value)
    {
        while (true)
        {
            if (!_map.TryGetValue(key, out S3FifoNode<TKey, TValue>? node))
            {
                node = new S3FifoNode<TKey, TValue>(key, value, _comparer.GetHashCode(key));
                if (_map.TryAdd(key, node))
                {
                    PutInOrder(node);
                    return;
                }
            }
            else if (node.Value is not { } old)
            {
                _map.TryRemove(new(key, node)); // whoever killed it is about to; no need to wait for him
            }
            else if (node.TryReplace(value, old))
            {
                if (TTraits.WeightOf(value) != TTraits.WeightOf(old))
                {
                    PutInOrder(node);
                }

                return;
            }
        }
    }

    /// <summary>Removes a key.</summary>
    /// <returns>Whether it was there.</returns>
    public bool Remove(TKey key) => _map.TryGetValue(key, out S3FifoNode<TKey, TValue>? node) && node.Kill() is not null && Forget(node);

    /// <summary>Removes a key only while it holds this very value.</summary>
    /// <returns>Whether it did.</returns>
    public bool Remove(TKey key, TValue expected) =>
        _map.TryGetValue(key, out S3FifoNode<TKey, TValue>? node) && node.TryReplace(null, expected) && Forget(node);

    /// <summary>Removes everything that was there when the call began.</summary>
    public void Clear()
    {
        lock (_maintenance)
        {
            foreach (KeyValuePair<TKey, S3FifoNode<TKey, TValue>> pair in _map)
            {
                pair.Value.Kill();
                _map.TryRemove(pair);
            }

            // Nodes that were not in order yet are dead or newer; both kinds stay on their stack and are put in order later.
            _policy.Clear();
            DrainUnderLock(int.MaxValue);
            foreach (KeyValuePair<TKey, S3FifoNode<TKey, TValue>> pair in _map)
            {
                _policy.Reconcile(pair.Value, _clock.Milliseconds);
            }
        }
    }

    /// <summary>Drops the dead, a bounded number of nodes per call and fewer per hold of the lock; goes on where it stopped.</summary>
    public void Sweep(long now)
    {
        for (int seen = 0; seen < MaxSwept; seen += SweepSlice)
        {
            bool isDone;
            lock (_maintenance)
            {
                DrainUnderLock(MaxDrained);
                isDone = _policy.Sweep(now, SweepSlice);
            }

            if (isDone)
            {
                return;
            }
        }
    }

    /// <summary>Puts every node in order and makes room, then hands the queues out for inspection.</summary>
    internal void Inspect(Action<S3FifoPolicy<TKey, TValue, TTraits>, IReadOnlyDictionary<TKey, S3FifoNode<TKey, TValue>>> inspect)
    {
        lock (_maintenance)
        {
            DrainUnderLock(int.MaxValue);
            while (_policy.Weight > _policy.Capacity)
            {
                _policy.Trim(_clock.Milliseconds);
            }

            inspect(_policy, _map);
        }
    }

    /// <summary>The value of a node, and one use more.</summary>
    protected static TValue? Use(S3FifoNode<TKey, TValue> node)
    {
        byte frequency = node.Frequency;
        if (frequency < S3FifoNode<TKey, TValue>.MaxFrequency)
        {
            node.Frequency = (byte)(frequency + 1);
        }

        return node.Value;
    }

    private bool Forget(S3FifoNode<TKey, TValue> node)
    {
        _map.TryRemove(new(node.Key, node));
        PutInOrder(node);
        return true;
    }

    private void PutInOrder(S3FifoNode<TKey, TValue> node)
    {
        if (_maintenance.TryEnter())
        {
            try
            {
                _policy.Reconcile(node, _clock.Milliseconds);
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
        }

        Interlocked.MemoryBarrier(); // between letting go of the lock and looking at the stack
        for (int round = 0; round < 8 && Volatile.Read(ref _pending) is not null && _maintenance.TryEnter(); round++)
        {
            try
            {
                DrainUnderLock(MaxDrained);
            }
            finally
            {
                _maintenance.Exit();
            }

            Interlocked.MemoryBarrier();
        }
    }

    private void Push(S3FifoNode<TKey, TValue> node)
    {
        if (Interlocked.Exchange(ref node.IsPending, true))
        {
            return; // on the stack already; whoever takes it from there sees what has changed since
        }

        S3FifoNode<TKey, TValue>? top;
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

        long now = _clock.Milliseconds;
        for (; most > 0; most--)
        {
            _backlog ??= Interlocked.Exchange(ref _pending, null);
            if (_backlog is not { } node)
            {
                return;
            }

            _backlog = node.NextPending;
            node.NextPending = null;
            Interlocked.Exchange(ref node.IsPending, false); // before its value is read: a change after this is pushed again
            _policy.Reconcile(node, now);
        }
    }
}
