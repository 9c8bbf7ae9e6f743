namespace Resilience.Caching.Local;

/// <summary>The in-process tier: a bounded map from keys to entries that evicts by its own policy.</summary>
/// <remarks>
/// <para>Thread-safe. Keys are ordinal. A write of a key that returned is seen by every later read of that key, unless the entry was
/// evicted in between; two writes of one key never run at the same time (the cache holds the key's stripe), reads run at any time.</para>
/// <para>An entry past <see cref="LocalEntry.DeadAt"/> may be dropped at any time and need not be: readers check the times themselves.</para>
/// </remarks>
internal interface ILocalTier : IDisposable
{
    /// <summary>How many entries are held.</summary>
    long Count { get; }

    /// <summary>The sum of their weights.</summary>
    long Weight { get; }

    /// <summary>How many entries left because there was no room, since the start.</summary>
    long Evictions { get; }

    /// <summary>Finds an entry and counts the use. No allocation, no lock.</summary>
    LocalEntry? Find(string key);

    /// <summary>The same without a string.</summary>
    LocalEntry? Find(ReadOnlySpan<char> key);

    /// <summary>Puts an entry, over the one that may be there.</summary>
    void Set(string key, LocalEntry entry);

    /// <summary>Removes a key.</summary>
    /// <returns>Whether it was there.</returns>
    bool Remove(string key);

    /// <summary>Removes a key only while it holds this very entry.</summary>
    bool Remove(string key, LocalEntry expected);

    /// <summary>Removes everything.</summary>
    void Clear();

    /// <summary>The entries, for inspection; no snapshot: what is written meanwhile may or may not be among them.</summary>
    IEnumerable<KeyValuePair<string, LocalEntry>> Entries();

    /// <summary>Drops dead entries, a bounded piece of work per call. Called now and then by the cache; never on a reader's path.</summary>
    /// <param name="now">The clock's reading, in milliseconds.</param>
    void Sweep(long now);
}
