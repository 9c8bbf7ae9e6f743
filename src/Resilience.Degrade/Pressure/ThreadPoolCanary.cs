using Resilience.Context;

namespace Resilience.Degrade;

/// <summary>
/// Measures how long the thread pool lets a work item wait: one empty item is always on its way. What is reported is the age of an item that has
/// not run yet, because under starvation it is exactly the one that never comes back that tells.
/// </summary>
/// <remarks><see cref="Read"/> is the sampling thread's own; the item itself runs on the pool.</remarks>
internal sealed class ThreadPoolCanary(CoarseClock clock) : IThreadPoolWorkItem
{
    private long _queuedAt = long.MinValue;
    private long _ranAfter;
    private volatile bool _outstanding;

    /// <summary>The wait in milliseconds, and the next item on its way.</summary>
    public double Read()
    {
        long now = clock.Milliseconds;
        if (_outstanding)
        {
            return now - Volatile.Read(ref _queuedAt);
        }

        double waited = Volatile.Read(ref _ranAfter);
        Volatile.Write(ref _queuedAt, now);
        _outstanding = true;
        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        return waited;
    }

    void IThreadPoolWorkItem.Execute()
    {
        Volatile.Write(ref _ranAfter, clock.Milliseconds - Volatile.Read(ref _queuedAt));
        _outstanding = false;
    }
}
