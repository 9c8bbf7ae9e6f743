using System.Runtime.InteropServices;

namespace Resilience.Caching.Guard;

/// <summary>
/// The additions of all nodes that share a guard, in one order. What an implementation promises is what the guard's law stands on:
/// see the members.
/// </summary>
/// <remarks>Thread-safe. Members throw when the journal cannot be reached; the guard then lets everything pass.</remarks>
public interface IGuardJournal
{
    /// <summary>Joins the journal, creating it where there is none.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>Where it stands. Additions acknowledged before the call are at or before <see cref="GuardJournalHead.Position"/>.</returns>
    ValueTask<GuardJournalHead> OpenAsync(CancellationToken cancellationToken);

    /// <summary>Appends hashes, and returns once they are stored.</summary>
    /// <param name="epoch">The journal that the hashes belong to.</param>
    /// <param name="hashes">The hashes.</param>
    /// <param name="retention">They are kept at least so long.</param>
    /// <param name="cancellationToken">Gives up; the hashes may have been stored or not.</param>
    /// <returns>The position of the last of them, or -1 when the journal is not that one any more and nothing was stored.</returns>
    ValueTask<long> AppendAsync(ulong epoch, IReadOnlyList<ulong> hashes, TimeSpan retention, CancellationToken cancellationToken);

    /// <summary>Reads what follows a position.</summary>
    /// <param name="epoch">The journal that the position belongs to.</param>
    /// <param name="position">The position.</param>
    /// <param name="lease">
    /// Positive: confirms, before reading, that this node has taken over everything up to the position, and announces that it may refuse
    /// for so long from now on. Zero: reads only.
    /// </param>
    /// <param name="cancellationToken">Gives up; the confirmation may still be stored later, which is harmless.</param>
    /// <returns>What follows. Where it reaches the end, it holds all that was acknowledged before the call.</returns>
    ValueTask<GuardJournalBatch> ReadAsync(ulong epoch, long position, TimeSpan lease, CancellationToken cancellationToken);

    /// <summary>
    /// Whether every other node whose lease runs has confirmed a position. For this to be known, the leases must be known to be whole: the
    /// answer is no as long as the confirmations of this node, which are stored beside them, do not reach back unbroken for
    /// <paramref name="lease"/>, as after a restart of the store.
    /// </summary>
    /// <param name="epoch">The journal that the position belongs to.</param>
    /// <param name="position">The position.</param>
    /// <param name="lease">The longest lease that any node takes.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>Whether all have.</returns>
    ValueTask<bool> IsConfirmedAsync(ulong epoch, long position, TimeSpan lease, CancellationToken cancellationToken);

    /// <summary>Declares a journal lost: the next <see cref="OpenAsync"/>, of any node, begins another. Does nothing when it is not that one any more.</summary>
    /// <param name="epoch">The journal that was lost.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>When it is done.</returns>
    ValueTask AbandonAsync(ulong epoch, CancellationToken cancellationToken);

    /// <summary>Waits for another node to append something, or for a time; may return early for no reason.</summary>
    /// <param name="atMost">The time.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>When it is worth reading again.</returns>
    ValueTask WaitAsync(TimeSpan atMost, CancellationToken cancellationToken);
}

/// <summary>Where a journal stands.</summary>
/// <param name="Epoch">Which journal it is; one that was lost and begun again has another. Also the seed of the hashes in it; never 0.</param>
/// <param name="First">The position before the oldest hash that is still kept.</param>
/// <param name="Position">The position of the newest hash.</param>
/// <param name="Age">How long ago the journal was begun.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct GuardJournalHead(ulong Epoch, long First, long Position, TimeSpan Age);

/// <summary>A piece of a journal.</summary>
/// <param name="IsLost">Nothing can be continued from the position: <paramref name="IsBehind"/> says why.</param>
/// <param name="IsBehind">The journal is whole, but what follows the position is too old to be kept; else it is another journal, or has lost something.</param>
/// <param name="Hashes">What follows the position.</param>
/// <param name="Position">The position of the last of <paramref name="Hashes"/>.</param>
/// <param name="IsEnd">Whether nothing stood behind it at that moment.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct GuardJournalBatch(bool IsLost, bool IsBehind, IReadOnlyList<ulong> Hashes, long Position, bool IsEnd)
{
    /// <summary>The answer where the journal is not what it was.</summary>
    public static GuardJournalBatch Lost { get; } = new(true, false, [], 0, false);

    /// <summary>The answer to a node that has not read for longer than hashes are kept.</summary>
    public static GuardJournalBatch Behind { get; } = new(true, true, [], 0, false);
}
