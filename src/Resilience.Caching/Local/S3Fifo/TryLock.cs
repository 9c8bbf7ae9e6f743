namespace Resilience.Caching.Local.S3Fifo;

/// <summary>
/// A lock of one word, without an owner and not re-entrant, for sections of some ten nanoseconds: half the cost of <see cref="Lock"/>. Taking it
/// is a full fence; who has to wait spins, and soon yields the processor.
/// </summary>
internal struct TryLock
{
    private int _taken;

    /// <summary>Takes the lock if it is free.</summary>
    public bool TryEnter() => Volatile.Read(ref _taken) == 0 && Interlocked.CompareExchange(ref _taken, 1, 0) == 0;

    /// <summary>Takes the lock, waiting for it.</summary>
    public void Enter()
    {
        var spin = default(SpinWait);
        while (!TryEnter())
        {
            spin.SpinOnce(sleep1Threshold: -1); // yields, but never sleeps a millisecond for a few nanoseconds of work
        }
    }

    /// <summary>Lets go of the lock. What was done under it is seen by whoever takes it next; reads that follow may come before.</summary>
    public void Exit() => Volatile.Write(ref _taken, 0);
}
