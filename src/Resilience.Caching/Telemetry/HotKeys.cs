namespace Resilience.Caching.Telemetry;

/// <summary>
/// The keys that are hit most, from a sample of the hits: Space-Saving (Metwally, Agrawal and El Abbadi, 2005), a bounded table in which a
/// newcomer takes the place and the count of the least, so that a key with more than its share of the sample is always in it. Counts are
/// halved now and then, so that what was hot yesterday goes.
/// </summary>
internal sealed class HotKeys
{
    private const int Capacity = 128;
    private const int HalveEvery = 4096;

    private readonly Lock _lock = new(); // guards all fields
    private readonly Dictionary<string, long> _counts = new(Capacity, StringComparer.Ordinal);
    private readonly Dictionary<string, long>.AlternateLookup<ReadOnlySpan<char>> _bySpan;
    private long _total;
    private int _untilHalving = HalveEvery;

    public HotKeys()
    {
        _bySpan = _counts.GetAlternateLookup<ReadOnlySpan<char>>();
    }

    /// <summary>Notes a sampled hit. A key that is known costs no allocation, another its text.</summary>
    public void Note(ReadOnlySpan<char> key)
    {
        if (!_lock.TryEnter())
        {
            return; // Somebody notes already; a sample more or less says the same.
        }

        try
        {
            _total++;
            if (_bySpan.TryGetValue(key, out long count))
            {
                _bySpan[key] = count + 1;
            }
            else
            {
                long least = 0;
                if (_counts.Count >= Capacity)
                {
                    (string name, least) = LeastUnderLock();
                    _counts.Remove(name);
                }

                _bySpan[key] = least + 1;
            }

            if (--_untilHalving == 0)
            {
                HalveUnderLock();
            }
        }
        finally
        {
            _lock.Exit();
        }
    }

    /// <summary>The hottest keys with their share of the sampled hits, hottest first.</summary>
    public IReadOnlyList<HotKey> Read(int most)
    {
        lock (_lock)
        {
            return [.. _counts.OrderByDescending(pair => pair.Value).Take(most).Select(pair => new HotKey(pair.Key, (double)pair.Value / Math.Max(1, _total)))];
        }
    }

    private (string Name, long Count) LeastUnderLock()
    {
        (string Name, long Count) least = ("", long.MaxValue);
        foreach ((string name, long count) in _counts)
        {
            if (count < least.Count)
            {
                least = (name, count);
            }
        }

        return least;
    }

    private void HalveUnderLock()
    {
        _untilHalving = HalveEvery;
        _total /= 2;
        foreach (string key in _counts.Keys.ToArray())
        {
            if ((_counts[key] /= 2) == 0)
            {
                _counts.Remove(key);
            }
        }
    }
}
