using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Resilience.Caching.Guard;

/// <summary>
/// A split-block Bloom filter as specified in Apache Parquet's <c>BloomFilter.md</c> (after Putze, Sanders, Singler, "Cache-, Hash- and
/// Space-Efficient Bloom Filters", and Impala): the upper half of a 64-bit hash picks a block of 256 bits, the lower half, multiplied by
/// eight odd constants, one bit in each of the block's eight words. A look-up touches one cache line.
/// </summary>
/// <remarks>
/// Thread-safe without a lock. Bits are only ever set, by an interlocked or per word, so that no addition can lose another's; a look-up
/// that began after an addition had returned finds it. A vector read of a block is not atomic and need not be, for the same reason.
/// </remarks>
internal sealed class SplitBlockBloomFilter
{
    /// <summary>Words of 32 bits in a block.</summary>
    public const int Lanes = 8;

    private const int BytesPerBlock = Lanes * sizeof(uint);

    /// <summary>The most blocks: 4 GiB, the largest power of two whose words one array can hold.</summary>
    private const int MaxBlocks = 1 << 27;

    private static readonly uint[] Salts = [0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31];

    private readonly uint[] _words;
    private readonly int _origin; // the first word of the first block, so that blocks stand on their natural boundary
    private readonly uint _blocks;
    private long _additions;

    /// <summary>Makes an empty filter.</summary>
    /// <param name="blocks">The number of blocks, 1 to 2²⁷.</param>
    public SplitBlockBloomFilter(int blocks)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(blocks, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(blocks, MaxBlocks);
        _blocks = (uint)blocks;
        _words = GC.AllocateArray<uint>((blocks + 1) * Lanes, pinned: true);
        _origin = (int)((-(long)Address() & (BytesPerBlock - 1)) / sizeof(uint));
    }

    /// <summary>The number of blocks.</summary>
    public int Blocks => (int)_blocks;

    /// <summary>What it takes, in bytes.</summary>
    public long Bytes => (long)_blocks * BytesPerBlock;

    /// <summary>How many additions changed a bit: distinct keys less those that were false positives on arrival.</summary>
    public long Additions => Volatile.Read(ref _additions);

    /// <summary>The blocks, eight words each.</summary>
    public ReadOnlySpan<uint> Words => _words.AsSpan(_origin, (int)_blocks * Lanes);

    /// <summary>How many blocks keep the false positives of so many keys at a rate.</summary>
    /// <param name="keys">The number of distinct keys.</param>
    /// <param name="falsePositiveRate">The rate, between 0 and 1.</param>
    /// <remarks>
    /// Parquet's formula, bits = -8n / ln(1 - p^(1/8)), holds where every block has its mean load; loads are Poisson, and full blocks
    /// answer wrongly more often than empty ones make up for. So the formula is only the start of a search over the true expectation.
    /// </remarks>
    public static int BlocksFor(long keys, double falsePositiveRate)
    {
        double bits = BitsByFormula(Math.Max(keys, 1), falsePositiveRate);
        double low = Math.Max(1, bits / (Lanes * 32));
        double high = low;
        while (ExpectedFalsePositiveRate(keys / high) > falsePositiveRate && high < MaxBlocks)
        {
            low = high;
            high *= 1.25;
        }

        for (int i = 0; i < 24 && high - low > 0.5; i++)
        {
            double middle = (low + high) / 2;
            if (ExpectedFalsePositiveRate(keys / middle) > falsePositiveRate)
            {
                low = middle;
            }
            else
            {
                high = middle;
            }
        }

        return (int)Math.Min(Math.Ceiling(high), MaxBlocks);
    }

    /// <summary>Parquet's own estimate of the bits that a filter needs.</summary>
    public static double BitsByFormula(long keys, double falsePositiveRate) =>
        -Lanes * (double)keys / Math.Log(1 - Math.Pow(falsePositiveRate, 1.0 / Lanes));

    /// <summary>The expected rate when blocks hold so many keys in the mean: the Poisson sum over loads.</summary>
    public static double ExpectedFalsePositiveRate(double keysPerBlock)
    {
        double probability = Math.Exp(-keysPerBlock);
        double sum = 0;
        int most = (int)(keysPerBlock + (12 * Math.Sqrt(keysPerBlock)) + 30);
        for (int load = 0; load <= most; load++)
        {
            sum += probability * Math.Pow(1 - Math.Pow(31.0 / 32, load), Lanes);
            probability *= keysPerBlock / (load + 1);
        }

        return sum;
    }

    /// <summary>Whether a hash may have been added; <see langword="false"/> is certain.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool MightContain(ulong hash)
    {
        ref uint block = ref Block(hash);
        return Avx2.IsSupported ? ContainsVector(ref block, (uint)hash) : ContainsScalar(ref block, (uint)hash);
    }

    /// <summary>Adds a hash.</summary>
    /// <returns>Whether a bit changed: <see langword="false"/> says that it may have been there before.</returns>
    public bool Add(ulong hash)
    {
        if (MightContain(hash))
        {
            return false;
        }

        ref uint block = ref Block(hash);
        for (int lane = 0; lane < Lanes; lane++)
        {
            Interlocked.Or(ref Unsafe.Add(ref block, lane), MaskOf((uint)hash, lane));
        }

        Interlocked.Increment(ref _additions);
        return true;
    }

    /// <summary>
    /// The share of absent keys that would be let through, from the bits that are set: the mean over blocks of the product of the words'
    /// fills.
    /// </summary>
    /// <param name="sample">At most so many blocks are looked at, evenly spread.</param>
    public double EstimateFalsePositiveRate(int sample = int.MaxValue)
    {
        ReadOnlySpan<uint> words = Words;
        int stride = Math.Max(1, Blocks / Math.Max(1, sample));
        double sum = 0;
        int seen = 0;
        for (int block = 0; block < Blocks; block += stride, seen++)
        {
            double product = 1;
            foreach (uint word in words.Slice(block * Lanes, Lanes))
            {
                product *= BitOperations.PopCount(word) / 32.0;
            }

            sum += product;
        }

        return sum / seen;
    }

    /// <summary>The share of bits that are set.</summary>
    /// <param name="sample">At most so many blocks are looked at, evenly spread.</param>
    public double Fill(int sample = int.MaxValue)
    {
        ReadOnlySpan<uint> words = Words;
        int stride = Math.Max(1, Blocks / Math.Max(1, sample));
        long set = 0;
        long seen = 0;
        for (int block = 0; block < Blocks; block += stride, seen++)
        {
            foreach (uint word in words.Slice(block * Lanes, Lanes))
            {
                set += BitOperations.PopCount(word);
            }
        }

        return set / (seen * 256.0);
    }

    /// <summary>Whether all eight bits of a hash are set in a block, word by word.</summary>
    internal static bool ContainsScalar(ref uint block, uint hash)
    {
        for (int lane = 0; lane < Lanes; lane++)
        {
            if ((Volatile.Read(ref Unsafe.Add(ref block, lane)) & MaskOf(hash, lane)) == 0)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>The same on all eight words at once.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static bool ContainsVector(ref uint block, uint hash)
    {
        Vector256<uint> salts = Vector256.Create(0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31);
        Vector256<uint> shifts = Vector256.ShiftRightLogical(Vector256.Create(hash) * salts, 27);
        Vector256<uint> mask = Avx2.ShiftLeftLogicalVariable(Vector256<uint>.One, shifts);
        return Avx.TestC(Vector256.LoadUnsafe(ref block), mask);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint MaskOf(uint hash, int lane) => 1u << (int)((hash * Salts[lane]) >> 27);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ref uint Block(ulong hash)
    {
        // The index is below _blocks by construction: (2³² - 1) · blocks >> 32.
        uint index = (uint)(((hash >> 32) * _blocks) >> 32);
        return ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(_words), (nint)_origin + ((nint)index * Lanes));
    }

    private nint Address() => Marshal.UnsafeAddrOfPinnedArrayElement(_words, 0);
}
