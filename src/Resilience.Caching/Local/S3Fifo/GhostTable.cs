using System.Numerics;

namespace Resilience.Caching.Local.S3Fifo;

/// <summary>
/// Remembers, by fingerprint alone, what was lately evicted on probation. Its clock is the weight that has passed through, so that
/// "as much as main holds" is a comparison of two readings and nothing has to be taken out when it has become too old.
/// </summary>
/// <remarks>
/// After the bucketed ghost of the S3-FIFO paper (§4.2): eight slots to a bucket, one cache line; a slot is a 32-bit fingerprint and a
/// 32-bit time stamp; the oldest of a full bucket gives way. Growing opens a larger table beside the old one, which is read until its
/// contents have aged: no rehashing, so no pause. Guarded by the engine's lock.
/// </remarks>
internal sealed class GhostTable
{
    private const int Ways = 8;
    private const int QuantaInWindow = 1 << 16;
    private readonly double _quantaPerWeight;
    private readonly uint _window;
    private ulong[] _slots;
    private ulong[]? _older;
    private double _clock;
    private double _olderUntil;

    /// <summary>Makes an empty table.</summary>
    /// <param name="window">The weight after whose passing a key is forgotten.</param>
    /// <param name="capacity">How many keys to make room for at first.</param>
    public GhostTable(long window, long capacity)
    {
        _window = (uint)Math.Min(QuantaInWindow, Math.Max(window, 1)); // at unit weights and small windows a quantum is one entry exactly
        _quantaPerWeight = _window / (double)Math.Max(window, 1);
        _slots = NewTable(capacity);
    }

    /// <summary>The slots that there are: the bound of what is remembered.</summary>
    public long Capacity => _slots.Length + (_older?.Length ?? 0);

    /// <summary>Makes room for so many keys, if there is not.</summary>
    public void EnsureCapacity(long keys)
    {
        if (keys * 2 <= _slots.Length || _slots.Length >= 1 << 28)
        {
            return;
        }

        _older = _slots;
        _olderUntil = _clock + _window;
        _slots = NewTable(keys * 2);
    }

    /// <summary>Remembers a key that is evicted.</summary>
    public void Add(int hash, long weight)
    {
        _clock += weight * _quantaPerWeight;
        if (_older is not null && _clock > _olderUntil)
        {
            _older = null;
        }

        (int bucket, uint fingerprint) = Place(_slots, hash);
        uint now = Now;
        int oldest = bucket;
        uint age = 0;
        for (int i = bucket; i < bucket + Ways; i++)
        {
            ulong slot = _slots[i];
            if (slot == 0 || (uint)(slot >> 32) == fingerprint)
            {
                oldest = i;
                break;
            }

            if (now - (uint)slot >= age)
            {
                (oldest, age) = (i, now - (uint)slot);
            }
        }

        _slots[oldest] = ((ulong)fingerprint << 32) | now;
    }

    /// <summary>Whether a key is remembered; forgets it.</summary>
    public bool Take(int hash) => Take(_slots, hash) || (_older is { } older && Take(older, hash));

    private uint Now => (uint)(long)_clock;

    private static ulong[] NewTable(long keys) =>
        new ulong[(int)Math.Min(1L << 28, (long)BitOperations.RoundUpToPowerOf2((ulong)Math.Max(keys * 2, Ways * 2)))];

    private static (int Bucket, uint Fingerprint) Place(ulong[] slots, int hash)
    {
        // Fibonacci hashing spreads the bucket; the fingerprint is the hash itself, made non-zero because 0 marks a free slot.
        uint mixed = (uint)(((uint)hash * 0x9E3779B97F4A7C15UL) >> 32);
        return ((int)(mixed & ((uint)slots.Length - 1) & ~(uint)(Ways - 1)), (uint)hash == 0 ? 1u : (uint)hash);
    }

    private bool Take(ulong[] slots, int hash)
    {
        (int bucket, uint fingerprint) = Place(slots, hash);
        for (int i = bucket; i < bucket + Ways; i++)
        {
            if ((uint)(slots[i] >> 32) == fingerprint)
            {
                bool isYoung = Now - (uint)slots[i] < _window;
                slots[i] = 0;
                return isYoung;
            }
        }

        return false;
    }
}
