namespace Resilience.Caching.Guard;

/// <summary>
/// The refusals lately let through as a sample, by hash: only what was let through can contradict the guard. A bounded table that forgets
/// by overwriting; a forgotten audit proves nothing either way. Thread-safe.
/// </summary>
internal sealed class AuditTrail
{
    private const int Slots = 1024;
    private readonly ulong[] _hashes = new ulong[Slots];

    /// <summary>Remembers a refusal that is let through.</summary>
    public void Note(ulong hash) => Volatile.Write(ref _hashes[hash % Slots], hash);

    /// <summary>Whether a hash was let through; forgets it.</summary>
    public bool Take(ulong hash) => hash != 0 && Interlocked.CompareExchange(ref _hashes[hash % Slots], 0, hash) == hash;
}
