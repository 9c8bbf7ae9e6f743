using Resilience.Caching.Invalidation;
using Resilience.Caching.Local;

namespace Resilience.Caching.Telemetry;

/// <summary>Looks into one cache.</summary>
internal sealed class CacheInspector(CacheCore core) : ICacheInspector
{
    private const int MostEntries = 1_000;
    private const int MostHotKeys = 128;

    public string Name => core.Name;

    public IReadOnlyList<HotKey> HotKeys(int most = 20)
    {
        Check(most, MostHotKeys);
        return core.HotKeys.Read(most);
    }

    public CacheEntryInfo? Find(string key)
    {
        ArgumentNullException.ThrowIfNull(key);
        long now = core.Clock.Milliseconds;
        return core.Local.Find(key) is { } entry && core.IsOfUse(entry, now) ? Info(key, entry, now) : null;
    }

    public CacheEntryPage Entries(string? prefix = null, string? tag = null, int most = 100)
    {
        Check(most, MostEntries);
        var found = new List<CacheEntryInfo>();
        int scanned = 0;
        long now = core.Clock.Milliseconds;
        foreach ((string key, LocalEntry entry) in core.Local.Entries())
        {
            if (scanned == ICacheInspector.MaxScanned || found.Count == most)
            {
                return new CacheEntryPage(found, scanned, IsComplete: false);
            }

            scanned++;
            bool isAsked = (prefix is null || key.StartsWith(prefix, StringComparison.Ordinal)) && (tag is null || Array.Exists(entry.Tags ?? [], state => state.Name == tag));
            if (isAsked && core.IsOfUse(entry, now))
            {
                found.Add(Info(key, entry, now));
            }
        }

        return new CacheEntryPage(found, scanned, IsComplete: true);
    }

    public CacheEntryPage Largest(int most = 20)
    {
        Check(most, MostEntries);
        var largest = new PriorityQueue<(string Key, LocalEntry Entry), long>();
        int scanned = 0;
        bool isComplete = true;
        long now = core.Clock.Milliseconds;
        foreach ((string key, LocalEntry entry) in core.Local.Entries())
        {
            if (scanned == ICacheInspector.MaxScanned)
            {
                isComplete = false;
                break;
            }

            scanned++;
            if (!core.IsOfUse(entry, now))
            {
                continue;
            }

            if (largest.Count < most)
            {
                largest.Enqueue((key, entry), entry.Weight);
            }
            else
            {
                largest.EnqueueDequeue((key, entry), entry.Weight);
            }
        }

        var found = new List<CacheEntryInfo>();
        while (largest.TryDequeue(out (string Key, LocalEntry Entry) one, out _))
        {
            found.Insert(0, Info(one.Key, one.Entry, now));
        }

        return new CacheEntryPage(found, scanned, isComplete);
    }

    private static void Check(int most, int limit)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(most, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(most, limit);
    }

    private CacheEntryInfo Info(string key, LocalEntry entry, long now)
    {
        bool isGood = core.Invalidations.Judge(entry) is Standing.Good or Standing.Suspect;
        return new CacheEntryInfo(
            key,
            entry.Weight,
            TimeSpan.FromMilliseconds(Math.Max(0, now - entry.CreatedAt)),
            TimeSpan.FromMilliseconds(isGood ? Math.Max(0, entry.ExpiresAt - now) : 0),
            entry.IsAbsent,
            [.. (entry.Tags ?? []).Select(state => state.Name)]);
    }
}
