namespace Resilience.Caching.Guard;

/// <summary>
/// The filters of a guard, replaced as a whole by one reference write: what reads and additions see is always a pair that belongs together.
/// </summary>
/// <param name="Seed">The seed of every hash in them. Kept from filter to filter, so that remembered hashes can be replayed into the next one.</param>
/// <param name="Current">What reads ask; <see langword="null"/> until the first filter is whole.</param>
/// <param name="Building">The next filter. Additions go to both from the moment it is published, which is before its snapshot begins.</param>
internal sealed record Sieves(ulong Seed, SplitBlockBloomFilter? Current, SplitBlockBloomFilter? Building)
{
    /// <summary>Adds a hash to whatever there is.</summary>
    /// <returns>Whether the current filter did not have it.</returns>
    public bool Add(ulong hash)
    {
        bool isNew = Current?.Add(hash) ?? false;
        Building?.Add(hash);
        return isNew;
    }
}
