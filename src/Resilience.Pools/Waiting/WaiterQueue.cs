using Resilience.Context;

namespace Resilience.Pools;

/// <summary>
/// The callers who wait: a list for each priority and one queue of deadlines. Everything here runs under the pool's lock.
/// </summary>
internal sealed class WaiterQueue<T>
    where T : class
{
    /// <summary>One grant in so many goes to whoever waits longest, so that low priorities cannot starve.</summary>
    private const int FairGrantEvery = 8;

    private readonly (PoolWaiter<T>? Oldest, PoolWaiter<T>? Newest)[] _lists = new (PoolWaiter<T>?, PoolWaiter<T>?)[4];
    private readonly DeadlineQueue<PoolWaiter<T>> _deadlines = new();
    private readonly StandingQueue _standing = new();
    private int _grants;

    public int Count { get; private set; }

    public long EarliestDue => _deadlines.EarliestDue;

    /// <summary>Whether a queue stands, which is what adaptive order reacts to. An empty one does not, however long ago it was last seen so.</summary>
    public bool IsStanding(long now, PoolOptions options) =>
        Count > 0 && options.WaiterOrder == WaiterOrder.AdaptiveLifo && _standing.IsStanding(now, (long)options.CoDelInterval.TotalMilliseconds);

    public void Enqueue(PoolWaiter<T> waiter)
    {
        if (Count == 0)
        {
            _standing.LastEmpty(waiter.EnqueuedAt);
        }

        ref (PoolWaiter<T>? Oldest, PoolWaiter<T>? Newest) list = ref _lists[(int)waiter.Priority];
        waiter.Previous = list.Newest;
        waiter.Next = null;
        if (list.Newest is null)
        {
            list.Oldest = waiter;
        }
        else
        {
            list.Newest.Next = waiter;
        }

        list.Newest = waiter;
        waiter.IsPending = true;
        Count++;
        if (waiter.Due != long.MaxValue)
        {
            _deadlines.Add(waiter);
        }
    }

    /// <summary>Takes a waiter out, wherever it stands.</summary>
    public void Remove(PoolWaiter<T> waiter)
    {
        ref (PoolWaiter<T>? Oldest, PoolWaiter<T>? Newest) list = ref _lists[(int)waiter.Priority];
        if (waiter.Previous is null)
        {
            list.Oldest = waiter.Next;
        }
        else
        {
            waiter.Previous.Next = waiter.Next;
        }

        if (waiter.Next is null)
        {
            list.Newest = waiter.Previous;
        }
        else
        {
            waiter.Next.Previous = waiter.Previous;
        }

        waiter.Previous = waiter.Next = null;
        waiter.IsPending = false;
        Count--;
        _deadlines.Remove(waiter);
    }

    /// <summary>Takes out who is to be served next; <see langword="null"/> when nobody waits.</summary>
    /// <param name="now">The time.</param>
    /// <param name="options">The pool's settings.</param>
    /// <param name="isStrict">Whether nobody is let forward for having waited long.</param>
    public PoolWaiter<T>? Dequeue(long now, PoolOptions options, bool isStrict = false)
    {
        if (Count == 0)
        {
            return null;
        }

        bool newestFirst = IsStanding(now, options);
        PoolWaiter<T>? next = null;
        if (!newestFirst && !isStrict && ++_grants % FairGrantEvery == 0)
        {
            foreach ((PoolWaiter<T>? oldest, _) in _lists)
            {
                if (oldest is not null && (next is null || oldest.EnqueuedAt < next.EnqueuedAt))
                {
                    next = oldest;
                }
            }
        }
        else
        {
            foreach ((PoolWaiter<T>? oldest, PoolWaiter<T>? newest) in _lists)
            {
                if (oldest is not null)
                {
                    next = newestFirst ? newest : oldest;
                    break;
                }
            }
        }

        Remove(next!);
        return next;
    }

    /// <summary>The newest waiter of the least priority, if that is below a newcomer's: who has to go when there is no room.</summary>
    public PoolWaiter<T>? LeastBelow(Priority newcomer)
    {
        for (int priority = _lists.Length - 1; priority > (int)newcomer; priority--)
        {
            if (_lists[priority].Newest is { } waiter)
            {
                return waiter;
            }
        }

        return null;
    }

    /// <summary>Takes out one waiter whose time is up; <see langword="null"/> when there is none.</summary>
    public PoolWaiter<T>? DequeueExpired(long now)
    {
        if (_deadlines.EarliestDue > now)
        {
            return null;
        }

        PoolWaiter<T> waiter = _deadlines.Earliest!;
        Remove(waiter);
        return waiter;
    }

    /// <summary>Takes out anybody.</summary>
    public PoolWaiter<T>? DequeueAny()
    {
        foreach ((PoolWaiter<T>? oldest, _) in _lists)
        {
            if (oldest is not null)
            {
                Remove(oldest);
                return oldest;
            }
        }

        return null;
    }
}
