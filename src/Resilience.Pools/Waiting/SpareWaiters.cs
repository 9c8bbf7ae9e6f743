using Microsoft.Extensions.ObjectPool;

namespace Resilience.Pools;

/// <summary>
/// Waiters whose wait has ended, for all pools of a resource. A few stay with the thread that was done with them, because a caller who was served is
/// mostly back there soon; only what is one thread's too many and another's too few goes through what all of them share.
/// </summary>
internal sealed class SpareWaiters<T>
    where T : class
{
    private const int MostOfAThread = 32;
    private const int MostShared = 256;

    private static readonly DefaultObjectPool<PoolWaiter<T>> Shared = new(new DefaultPooledObjectPolicy<PoolWaiter<T>>(), MostShared);

    [ThreadStatic]
    private static SpareWaiters<T>? own;

    private PoolWaiter<T>? _first;
    private int _count;

    public static PoolWaiter<T> Take(ResourcePool<T> pool)
    {
        PoolWaiter<T>? waiter = null;
        if (own is { _first: { } first } spare)
        {
            waiter = first;
            spare._first = first.Next;
            spare._count--;
            first.Next = null;
        }

        waiter ??= Shared.Get();
        waiter.Pool = pool;
        return waiter;
    }

    public static void Return(PoolWaiter<T> waiter)
    {
        // Whatever way the wait ended, the next caller must not inherit anything of this one's.
        waiter.Forget();
        SpareWaiters<T> spare = own ??= new SpareWaiters<T>();
        if (spare._count < MostOfAThread)
        {
            waiter.Next = spare._first;
            spare._first = waiter;
            spare._count++;
        }
        else
        {
            Shared.Return(waiter);
        }
    }
}
