using System.Runtime.CompilerServices;

namespace Resilience.Pools;

/// <summary>What an entry of the pool's array is doing.</summary>
internal enum EntryState
{
    /// <summary>No resource; the place is free.</summary>
    Dead = 0,

    /// <summary>The factory is at work.</summary>
    Creating = 1,

    /// <summary>A resource that may be taken.</summary>
    Idle = 2,

    /// <summary>A lease holds it.</summary>
    Leased = 3,

    /// <summary>The pool itself holds it: between return and grant, in validation, in reset.</summary>
    Reserved = 4,

    /// <summary>Its destruction runs; the place is still taken.</summary>
    Closing = 5,
}

/// <summary>
/// The one word of an entry: bits 0 to 2 the state, bit 3 "listed", bit 4 "invalid", from bit 8 the version, which grows whenever a
/// lease ends. Everything that may happen to an entry is one compare-and-swap of this word.
/// </summary>
/// <remarks>
/// "Listed" means that the entry is linked in the idle stack, or that exactly one thread is about to link it. It is apart from the state
/// so that a sweep can take an idle entry where it lies: whoever pops an entry that is not idle clears the bit and goes on, and whoever
/// makes a listed entry idle again need not, and must not, link it a second time.
/// </remarks>
internal static class EntryWord
{
    public const long StateMask = 7;
    public const long Listed = 8;
    public const long Invalid = 16;
    public const long VersionUnit = 256;
    public const long VersionMask = ~(VersionUnit - 1);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static EntryState State(long word) => (EntryState)(word & StateMask);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static long Version(long word) => word & VersionMask;

    /// <summary>Whether the word is that of a living lease of this version; listed or invalid makes no difference.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsLeased(long word, long version) => (word & (VersionMask | StateMask)) == (version | (long)EntryState.Leased);
}
