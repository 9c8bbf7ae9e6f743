namespace Resilience.Caching;

/// <summary>Looks into a cache for people: what is hot, what is large, what is there. Registered under the cache's name.</summary>
/// <remarks>
/// Thread-safe. Every answer is bounded: no member looks at more than <see cref="MaxScanned"/> entries, and none holds up a read or a write.
/// Keys may be personal data: show them to those who may see them. Values are never shown.
/// </remarks>
public interface ICacheInspector
{
    /// <summary>How many entries one call looks at, at the most.</summary>
    public const int MaxScanned = 20_000;

    /// <summary>The cache's name.</summary>
    string Name { get; }

    /// <summary>The keys that are hit most in the local tier, from a sample of about one hit in a thousand, hottest first.</summary>
    /// <param name="most">How many at the most. Range: 1 to 128.</param>
    IReadOnlyList<HotKey> HotKeys(int most = 20);

    /// <summary>The entry of a key in the local tier, be it as a stale copy; <see langword="null"/> when there is none. Counts as a use of it.</summary>
    /// <param name="key">The key.</param>
    CacheEntryInfo? Find(string key);

    /// <summary>Entries of the local tier.</summary>
    /// <param name="prefix">Only keys that begin so; all when <see langword="null"/>.</param>
    /// <param name="tag">Only entries with this tag; all when <see langword="null"/>.</param>
    /// <param name="most">How many at the most. Range: 1 to 1,000.</param>
    CacheEntryPage Entries(string? prefix = null, string? tag = null, int most = 100);

    /// <summary>The largest entries of the local tier, largest first.</summary>
    /// <param name="most">How many at the most. Range: 1 to 1,000.</param>
    CacheEntryPage Largest(int most = 20);
}

/// <summary>A key that is hit often.</summary>
/// <param name="Key">The key.</param>
/// <param name="Share">Its share of the sampled hits, from 0 to 1; about, and rather too high than too low.</param>
[System.Runtime.InteropServices.StructLayout(System.Runtime.InteropServices.LayoutKind.Auto)]
public readonly record struct HotKey(string Key, double Share);

/// <summary>Some entries of a cache.</summary>
/// <param name="Entries">The entries.</param>
/// <param name="Scanned">How many entries were looked at.</param>
/// <param name="IsComplete">Whether these are all that were asked for: neither <paramref name="Entries"/> nor the look was cut short.</param>
public sealed record CacheEntryPage(IReadOnlyList<CacheEntryInfo> Entries, int Scanned, bool IsComplete);

/// <summary>An entry of the local tier, without its value.</summary>
/// <param name="Key">The key.</param>
/// <param name="Weight">What it is charged for, in the unit of the tier's size limit.</param>
/// <param name="Age">How long ago its value was made.</param>
/// <param name="FreshFor">How long it is still fresh; zero when it is stale.</param>
/// <param name="IsAbsent">Whether it says that there is no such thing.</param>
/// <param name="Tags">Its tags.</param>
public sealed record CacheEntryInfo(string Key, long Weight, TimeSpan Age, TimeSpan FreshFor, bool IsAbsent, IReadOnlyList<string> Tags);
