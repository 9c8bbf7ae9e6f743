namespace Resilience.Caching.Local.S3Fifo;

/// <summary>
/// A lock that writers only ever try: one word, no owner, not re-entrant. Taking it and letting it go are full fences. Waiting for it is for
/// the rare caller who has to, and yields the processor.
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
            spin.SpinOnce();
        }
    }

    /// <summary>Lets go of the lock.</summary>
    public void Exit() => Interlocked.Exchange(ref _taken, 0);
}
