namespace Resilience.Caching;

/// <summary>What a guard says of a key.</summary>
internal enum GuardVerdict
{
    /// <summary>The guard cannot tell: not loaded, overfull, stale or switched off. The read goes on.</summary>
    NotReady,

    /// <summary>The key may exist. The read goes on.</summary>
    MaybePresent,

    /// <summary>The key provably does not exist: no tier is asked, no factory runs.</summary>
    DefinitelyAbsent,
}

/// <summary>The second step of a read: knows keys that cannot exist. Thread-safe and free of allocation.</summary>
internal interface ICacheGuard
{
    /// <summary>Judges a key. Never throws, never waits.</summary>
    GuardVerdict Check(string key);

    /// <summary>
    /// Says that a key exists: it was set or loaded. Counts as an addition, and as a contradiction where the guard refused the key before.
    /// </summary>
    void Exists(string key);
}
