using System.Numerics;

namespace Resilience.Caching.Telemetry;

/// <summary>
/// A small number for each thread, so that it may have a row of counters to itself. Up to <see cref="Owned"/> the row is the thread's alone
/// while it lives, and it may write there without an atomic instruction, which on a path of some ten nanoseconds would be the dearest thing:
/// it holds up every load that follows. Threads that find none left share the rows after those.
/// </summary>
internal static class ThreadSlot
{
    /// <summary>How many rows belong to one thread each.</summary>
    public const int Owned = 64;

    /// <summary>How many rows there are.</summary>
    public const int Count = Owned + Shared;

    private const int Shared = 16;
    private static ulong _taken; // a bit for each owned row

    [ThreadStatic]
    private static int _number; // the row's number + 1; 0 before the thread has one

    [ThreadStatic]
    private static Lease? _lease; // collected some time after the thread has ended

    /// <summary>The calling thread's row.</summary>
    public static int Current => _number is > 0 and int number ? number - 1 : Take();

    private static int Take()
    {
        int slot = Owned + (Environment.CurrentManagedThreadId & (Shared - 1));
        for (ulong taken = Volatile.Read(ref _taken); taken != ulong.MaxValue; taken = Volatile.Read(ref _taken))
        {
            int free = BitOperations.TrailingZeroCount(~taken);
            if (Interlocked.CompareExchange(ref _taken, taken | (1UL << free), taken) == taken)
            {
                slot = free;
                _lease = new Lease(free);
                break;
            }
        }

        _number = slot + 1;
        return slot;
    }

    /// <summary>Gives the row back when its thread is no more.</summary>
    private sealed class Lease(int slot)
    {
#pragma warning disable MA0055 // nothing else tells that a thread has ended
        ~Lease() => Interlocked.And(ref _taken, ~(1UL << slot));
#pragma warning restore MA0055
    }
}
