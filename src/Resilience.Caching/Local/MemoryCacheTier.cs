using Microsoft.Extensions.Caching.Memory;
using Resilience.Context;

namespace Resilience.Caching.Local;

/// <summary>The local tier on Microsoft.Extensions.Caching.Memory, its own or one that the application hands in.</summary>
/// <remarks>
/// At its size limit that engine refuses the newest entry and compacts in the background by sorting everything: entries may be dropped
/// on arrival. Its own expiry runs on the wall clock and is only there so that dead entries go; readers check the times themselves.
/// </remarks>
internal sealed class MemoryCacheTier : ILocalTier
{
    private readonly IMemoryCache _cache;
    private readonly MemoryCache? _own;
    private readonly string? _prefix;
    private readonly CoarseClock _clock;

    /// <summary>Makes a tier over a cache of its own.</summary>
    public MemoryCacheTier(LocalTierOptions options, CoarseClock clock)
    {
        _own = new MemoryCache(new MemoryCacheOptions { SizeLimit = options.SizeLimit, ExpirationScanFrequency = options.SweepInterval, TrackStatistics = true });
        _cache = _own;
        _clock = clock;
    }

    /// <summary>Makes a tier over the application's cache, which it shares with others and never disposes.</summary>
    /// <param name="cache">The application's.</param>
    /// <param name="name">What keeps this cache's keys apart from all others'.</param>
    /// <param name="clock">The cache's clock.</param>
    public MemoryCacheTier(IMemoryCache cache, string name, CoarseClock clock)
    {
        _cache = cache;
        _prefix = $"resilience:{name}:";
        _clock = clock;
    }

    public long Count => _own?.Count ?? 0;

    public long Weight => _own?.GetCurrentStatistics()?.CurrentEstimatedSize ?? 0;

    /// <summary>The engine does not tell.</summary>
    public long Evictions => 0;

    public LocalEntry? Find(string key)
    {
        if (_own is not null)
        {
            return _own.TryGetValue(key, out object? found) ? (LocalEntry?)found : null;
        }

        return _cache.TryGetValue(_prefix + key, out object? theirs) ? theirs as LocalEntry : null;
    }

    public LocalEntry? Find(ReadOnlySpan<char> key) =>
        _own is null ? Find(key.ToString()) : _own.TryGetValue(key, out object? found) ? (LocalEntry?)found : null;

    public void Set(string key, LocalEntry entry)
    {
        using ICacheEntry made = _cache.CreateEntry(_own is null ? _prefix + key : key);
        made.Value = entry;
        made.Size = entry.Weight;
        made.Priority = entry.Priority switch
        {
            CacheEntryPriority.Low => CacheItemPriority.Low,
            CacheEntryPriority.High => CacheItemPriority.High,
            _ => CacheItemPriority.Normal,
        };
        made.AbsoluteExpirationRelativeToNow = TimeSpan.FromMilliseconds(Math.Clamp(entry.DeadAt - _clock.Milliseconds, 1, (long)TimeSpan.FromDays(3650).TotalMilliseconds));
    }

    public bool Remove(string key)
    {
        bool found = Find(key) is not null;
        _cache.Remove(_own is null ? _prefix + key : key);
        return found;
    }

    public bool Remove(string key, LocalEntry expected)
    {
        // Writes of a key never run at the same time, so nothing comes between the two steps.
        return ReferenceEquals(Find(key), expected) && Remove(key);
    }

    public void Clear()
    {
        // The entries of an application's cache cannot be told apart there; the cache's own numbers have hidden them already.
        _own?.Clear();
    }

    public IEnumerable<KeyValuePair<string, LocalEntry>> Entries()
    {
        if (_own is null)
        {
            yield break;
        }

        foreach (object key in _own.Keys)
        {
            if (key is string text && _own.TryGetValue(text, out object? found) && found is LocalEntry entry)
            {
                yield return KeyValuePair.Create(text, entry);
            }
        }
    }

    public void Sweep(long now)
    {
        // The engine scans by itself.
    }

    public void Dispose()
    {
        // Loads may still be under way, and would fail on a disposed engine. It holds nothing but memory.
    }
}
