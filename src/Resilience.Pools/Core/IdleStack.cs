using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Resilience.Pools;

/// <summary>
/// A lock-free last-in-first-out stack (Treiber) of places in an array. The head is the index of the top and a tag that grows with every
/// change, so that a head that went away and came back is not taken for the one that was read (ABA).
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = 256)]
internal struct IdleStack
{
    private const long IndexMask = 0xFFFF_FFFF;
    private const long TagUnit = 1L << 32;

    // Alone on its cache line: it is the one word that every thread writes.
    [FieldOffset(128)]
    private long _head;

    /// <summary>The newest: index + 1 of its place, 0 when there is none.</summary>
    public readonly int Top
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => (int)(Volatile.Read(in _head) & IndexMask);
    }

    public readonly bool IsEmpty => (int)(Volatile.Read(in _head) & IndexMask) == 0;

    /// <summary>Links an entry. A full fence.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Push<T>(PoolEntry<T> entry)
        where T : class
    {
        while (true)
        {
            long head = Volatile.Read(ref _head);
            entry.Below = (int)(head & IndexMask);
            long next = ((head & ~IndexMask) + TagUnit) | (uint)(entry.Index + 1);
            if (Interlocked.CompareExchange(ref _head, next, head) == head)
            {
                return;
            }
        }
    }

    /// <summary>Unlinks the newest entry, whatever its state; <see langword="null"/> when there is none.</summary>
    /// <param name="entries">The pool's array; read after the head, so that it holds every index that the head can name.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public PoolEntry<T>? Pop<T>(ref PoolEntry<T>[] entries)
        where T : class
    {
        while (true)
        {
            long head = Volatile.Read(ref _head);
            int top = (int)(head & IndexMask);
            if (top == 0)
            {
                return null;
            }

            PoolEntry<T> entry = Volatile.Read(ref entries)[top - 1];

            // The link may be of a later stay on the stack; then the tag has moved and the swap fails.
            long next = ((head & ~IndexMask) + TagUnit) | (uint)Volatile.Read(ref entry.Below);
            if (Interlocked.CompareExchange(ref _head, next, head) == head)
            {
                return entry;
            }
        }
    }
}
