using System.Numerics;

namespace Resilience.Caching.Local.S3Fifo;

/// <summary>
/// Remembers, by fingerprint alone, what was lately evicted on probation. Its clock is the weight that has passed through, so that
/// "as much as main holds" is a comparison of two readings and nothing has to be taken out when it has become too old.
/// </summary>
/// <remarks>
/// After the bucketed ghost of the S3-FIFO paper (§4.2): eight slots to a bucket, one cache line; a slot is a 32-bit fingerprint and a
/// 32-bit time stamp; the oldest of a full bucket gives way. Growing opens a larger table beside the old one, which is read until its
/// contents have aged, and whose memory is taken piece by piece as it is touched: no rehashing and no large array, so no pause.
/// Guarded by the engine's lock.
/// </remarks>
internal sealed class GhostTable
{
    private const int Ways = 8;
    private const int QuantaInWindow = 1 << 16;

    /// <summary>The most that the keys within the window may fill. Where a bucket is full its oldest goes, which would be the next to be forgotten anyway.</summary>
    private const double MostFilled = 0.75;

    private readonly double _quantaPerWeight;
    private readonly uint _window;
    private Table _slots;
    private Table? _older;
    private double _clock;
    private double _olderUntil;

    /// <summary>Makes an empty table.</summary>
    /// <param name="window">The weight after whose passing a key is forgotten.</param>
    /// <param name="capacity">How many keys to make room for at first.</param>
    public GhostTable(long window, long capacity)
    {
        _window = (uint)Math.Min(QuantaInWindow, Math.Max(window, 1)); // at unit weights and small windows a quantum is one entry exactly
        _quantaPerWeight = _window / (double)Math.Max(window, 1);
        _slots = Table.For(capacity * 2);
    }

    /// <summary>The slots that there are: the bound of what is remembered.</summary>
    public long Capacity => _slots.Count + (_older?.Count ?? 0);

    /// <summary>The memory that is taken, in bytes.</summary>
    public long Bytes => _slots.Bytes + (_older?.Bytes ?? 0);

    /// <summary>Makes room for so many keys, if there is not.</summary>
    public void EnsureCapacity(long keys)
    {
        if (keys <= _slots.Count * MostFilled || _slots.Count >= Table.MaxSlots)
        {
            return;
        }

        _older = _slots;
        _olderUntil = _clock + _window;
        _slots = Table.For((long)(keys / MostFilled) + 1);
    }

    /// <summary>Remembers a key that is evicted.</summary>
    public void Add(int hash, long weight)
    {
        _clock += weight * _quantaPerWeight;
        if (_older is not null && _clock > _olderUntil)
        {
            _older = null;
        }

        uint fingerprint = Fingerprint(hash);
        uint now = Now;
        Span<ulong> bucket = _slots.BucketOf(hash, create: true);
        int oldest = 0;
        uint age = 0;
        for (int i = 0; i < bucket.Length; i++)
        {
            ulong slot = bucket[i];
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

        bucket[oldest] = ((ulong)fingerprint << 32) | now;
    }

    /// <summary>Whether a key is remembered; forgets it.</summary>
    public bool Take(int hash) => Take(_slots, hash) || (_older is { } older && Take(older, hash));

    private uint Now => (uint)(long)_clock;

    /// <summary>The hash itself, made non-zero because 0 marks a free slot.</summary>
    private static uint Fingerprint(int hash) => hash == 0 ? 1u : (uint)hash;

    private bool Take(Table slots, int hash)
    {
        uint fingerprint = Fingerprint(hash);
        foreach (ref ulong slot in slots.BucketOf(hash, create: false))
        {
            if ((uint)(slot >> 32) == fingerprint)
            {
                bool isYoung = Now - (uint)slot < _window;
                slot = 0;
                return isYoung;
            }
        }

        return false;
    }

    /// <summary>The slots, in pieces that are allocated when something is first put there.</summary>
    private sealed class Table
    {
        public const int MaxSlots = 1 << 28;
        private const int PieceSlots = 4096; // 32 KiB: too small for the large object heap
        private readonly ulong[]?[] _pieces;
        private readonly int _pieceSlots;
        private readonly int _pieceShift;
        private int _taken;

        private Table(int slots)
        {
            Count = slots;
            _pieceSlots = Math.Min(slots, PieceSlots);
            _pieceShift = BitOperations.Log2((uint)_pieceSlots);
            _pieces = new ulong[]?[slots / _pieceSlots];
        }

        public int Count { get; }

        public long Bytes => (long)_taken * _pieceSlots * sizeof(ulong);

        public static Table For(long slots) =>
            new((int)Math.Min(MaxSlots, (long)BitOperations.RoundUpToPowerOf2((ulong)Math.Max(slots, Ways * 2))));

        /// <summary>The bucket of a hash; nothing where nothing was put yet and nothing is to be.</summary>
        public Span<ulong> BucketOf(int hash, bool create)
        {
            // Fibonacci hashing, so that the bucket says something else than the fingerprint.
            uint mixed = (uint)(((uint)hash * 0x9E3779B97F4A7C15UL) >> 32);
            int bucket = (int)(mixed & ((uint)Count - 1) & ~(uint)(Ways - 1));
            ref ulong[]? piece = ref _pieces[bucket >> _pieceShift];
            if (piece is null)
            {
                if (!create)
                {
                    return [];
                }

                piece = new ulong[_pieceSlots];
                _taken++;
            }

            return piece.AsSpan(bucket & (_pieceSlots - 1), Ways);
        }
    }
}
