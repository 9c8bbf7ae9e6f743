using System.Runtime.CompilerServices;

namespace Resilience.Pools;

/// <summary>
/// A place in the pool's array, for the pool's whole life: only what it holds changes. All fields but the word belong to whoever the
/// word says owns the entry; what others read of them (ages, call sites) is for reports and may be a moment old.
/// </summary>
internal sealed class PoolEntry<T>(ResourcePool<T> pool, int index)
    where T : class
{
    private long _word;

    public ResourcePool<T> Pool { get; } = pool;

    public int Index { get; } = index;

    /// <summary>The stack's link: index + 1 of the entry below, 0 for none. Owned by <see cref="IdleStack"/>.</summary>
    public int Below;

    public T? Resource;

    /// <summary>The pool's generation from before the factory ran.</summary>
    public int Generation;

    /// <summary>
    /// When it was last leased, in milliseconds; written before the word says Leased, so that nobody who sees that word sees an older
    /// time. It stands for "idle since" too: too early by the length of one lease, which validates a little sooner than needed.
    /// </summary>
    public long LeasedAt;

    /// <summary>The precise start of the lease; only while somebody listens to use times or sizing is adaptive.</summary>
    public long LeasedTimestamp;

    public long CreatedAt;

    /// <summary>When the resource is too old, jitter included.</summary>
    public long ExpiresAt;

    /// <summary>When it last proved to work.</summary>
    public long ValidatedAt;

    /// <summary>The sweep's own note: the word it saw last, and since when that has not changed.</summary>
    public long SeenWord;
    public long SeenAt;

    /// <summary>The version of the lease that was reported as a leak.</summary>
    public long ReportedVersion = -1;

    /// <summary>Who holds it: call site, tag and a sampled stack.</summary>
    public string? File;
    public int Line;
    public string? Tag;
    public string? Stack;
    public uint LeaseCount;

    /// <summary>Whether there is a stack or a precise start that the next lease has to do away with.</summary>
    public bool IsTold;

    /// <summary>Bounds the next reset; kept while resets end where they begin.</summary>
    public CancellationTokenSource? ResetLimit;

    /// <summary>A limiter's lease that must live as long as the lease.</summary>
    public IDisposable? Admission;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public long ReadWord() => Volatile.Read(ref _word);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TrySwap(long from, long to) => Interlocked.CompareExchange(ref _word, to, from) == from;

    /// <summary>Moves on from a state that the caller owns; only the listed bit can change under its hands.</summary>
    /// <returns>The version.</returns>
    public long Move(EntryState from, EntryState to, bool bumpVersion = false)
    {
        while (true)
        {
            long word = ReadWord();
            if (EntryWord.State(word) != from)
            {
                throw MovedMeanwhile(word, from);
            }

            long version = EntryWord.Version(word) + (bumpVersion ? EntryWord.VersionUnit : 0);
            if (TrySwap(word, version | (word & EntryWord.Listed) | (long)to))
            {
                return version;
            }
        }
    }

    /// <summary>Makes an owned entry idle.</summary>
    /// <returns>Whether the caller has to link it into the stack.</returns>
    public bool MoveToIdle(EntryState from)
    {
        while (true)
        {
            long word = ReadWord();
            if (EntryWord.State(word) != from)
            {
                throw MovedMeanwhile(word, from);
            }

            if (TrySwap(word, EntryWord.Version(word) | EntryWord.Listed | (long)EntryState.Idle))
            {
                return (word & EntryWord.Listed) == 0;
            }
        }
    }

    /// <summary>Ends the lease of this version and makes the entry the caller's.</summary>
    /// <returns>False when that lease has ended already.</returns>
    public bool TryEndLease(long version, EntryState to, out bool invalid)
    {
        while (true)
        {
            long word = ReadWord();
            if (!EntryWord.IsLeased(word, version))
            {
                invalid = false;
                return false;
            }

            if (TrySwap(word, (version + EntryWord.VersionUnit) | (word & EntryWord.Listed) | (long)to))
            {
                invalid = (word & EntryWord.Invalid) != 0;
                return true;
            }
        }
    }

    private InvalidOperationException MovedMeanwhile(long word, EntryState expected) =>
        new($"Place {Index} of pool '{Pool.Name}' is {EntryWord.State(word)} and should be {expected}: it had two owners. This is a fault of the pool.");

    public bool MarkInvalid(long version)
    {
        while (true)
        {
            long word = ReadWord();
            if (!EntryWord.IsLeased(word, version))
            {
                return false;
            }

            if (TrySwap(word, word | EntryWord.Invalid))
            {
                return true;
            }
        }
    }
}
