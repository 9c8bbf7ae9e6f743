using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using Resilience.Caching.Guard;

namespace Resilience.Caching.Tests.Guard;

/// <summary>What sizes, counts and estimates of the filter promise.</summary>
public sealed class FilterLawTests
{
    private const int MostBlocks = 1 << 27;

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(MostBlocks + 1)]
    public void New_NoBlocksOrTooMany_IsRefused(int blocks) => Assert.Throws<ArgumentOutOfRangeException>(() => new SplitBlockBloomFilter(blocks));

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(1_000)]
    public void New_AnySize_HasThatManyEmptyBlocksEachOnItsNaturalBoundary(int blocks)
    {
        var filter = new SplitBlockBloomFilter(blocks);
        Assert.Equal(blocks, filter.Blocks);
        Assert.Equal(blocks * 32L, filter.Bytes);
        Assert.Equal(blocks * 8, filter.Words.Length);
        Assert.Equal(0, AddressOf(filter) % 32); // a block is half a cache line, and never lies in two
        Assert.False(filter.Words.ContainsAnyExcept(0u));
        Assert.Equal(0, filter.Fill());
        Assert.Equal(0, filter.EstimateFalsePositiveRate());
        Assert.Equal(0, filter.Additions);
    }

    [Fact]
    public void Add_EachKeyOfItsOwn_CountsThoseThatChangedABit()
    {
        var filter = new SplitBlockBloomFilter(10_000);
        int changed = 0;
        foreach (ulong hash in Hashes(5_000, seed: 3))
        {
            bool wasThere = filter.MightContain(hash);
            Assert.Equal(!wasThere, filter.Add(hash));
            Assert.False(filter.Add(hash));
            changed += wasThere ? 0 : 1;
        }

        Assert.Equal(changed, filter.Additions);
        Assert.InRange(changed, 4_990, 5_000);
    }

    [Fact]
    public void Add_AnyHash_SetsOneBitInEachWordOfTheBlockThatItsUpperHalfNames()
    {
        const int Blocks = 1_000;
        foreach (ulong hash in Hashes(500, seed: 5).Append(0UL).Append(ulong.MaxValue))
        {
            var filter = new SplitBlockBloomFilter(Blocks);
            filter.Add(hash);
            int block = (int)(((hash >> 32) * Blocks) >> 32);
            uint[] words = filter.Words.ToArray();
            Assert.All(words.AsSpan(block * 8, 8).ToArray(), word => Assert.Equal(1, BitOperations.PopCount(word)));
            Assert.Equal(8, words.Sum(BitOperations.PopCount));
            Assert.Equal(8 / (256.0 * Blocks), filter.Fill(), precision: 15);
        }
    }

    [Fact]
    public void MightContain_VectorAndScalar_SayWhetherAllEightBitsAreSet()
    {
        var random = new Random(13);
        foreach (uint hash in Hashes(500, seed: 17).Select(hash => (uint)hash).Append(0u).Append(uint.MaxValue))
        {
            var filter = new SplitBlockBloomFilter(1);
            filter.Add(hash);
            uint[] own = filter.Words.ToArray();
            AssertSays(true, own, hash);
            for (int missing = 0; missing < 8; missing++)
            {
                uint[] block = [.. own.Select(bit => bit | (uint)random.NextInt64())]; // whatever else is set
                AssertSays(true, block, hash);
                block[missing] &= ~own[missing];
                AssertSays(false, block, hash);
            }
        }

        static void AssertSays(bool expected, uint[] block, uint hash)
        {
            Assert.Equal(expected, SplitBlockBloomFilter.ContainsScalar(ref block[0], hash));
            if (Avx2.IsSupported) // elsewhere the scalar path is all there is
            {
                Assert.Equal(expected, SplitBlockBloomFilter.ContainsVector(ref block[0], hash));
            }
        }
    }

    [Fact]
    public void FillAndEstimate_OfAllBlocks_AreWhatTheirDefinitionsSay()
    {
        var filter = new SplitBlockBloomFilter(37);
        foreach (ulong hash in Hashes(400, seed: 11))
        {
            filter.Add(hash);
        }

        uint[] words = filter.Words.ToArray();
        Assert.Equal(words.Average(word => BitOperations.PopCount(word) / 32.0), filter.Fill(), precision: 12);
        Assert.Equal(words.Chunk(8).Average(block => block.Aggregate(1.0, (product, word) => product * BitOperations.PopCount(word) / 32.0)), filter.EstimateFalsePositiveRate(), precision: 12);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(10)]
    [InlineData(100)]
    [InlineData(1_000)]
    [InlineData(0)]
    [InlineData(-5)]
    public void FillAndEstimate_OfASample_LookAtEvenlySpreadBlocks(int sample)
    {
        // Every tenth block is full, the others are empty: what a sample says tells which blocks it has seen.
        const int Blocks = 1_000;
        var filter = new SplitBlockBloomFilter(Blocks);
        for (int block = 0; block < Blocks; block += 10)
        {
            MemoryMarshal.CreateSpan(ref MemoryMarshal.GetReference(filter.Words[(block * 8)..]), 8).Fill(uint.MaxValue);
        }

        int stride = Math.Max(1, Blocks / Math.Max(1, sample));
        int[] seen = [.. Enumerable.Range(0, Blocks).Where(block => block % stride == 0)];
        double full = seen.Count(block => block % 10 == 0) / (double)seen.Length;
        Assert.Equal(full, filter.Fill(sample), precision: 12);
        Assert.Equal(full, filter.EstimateFalsePositiveRate(sample), precision: 12);
        Assert.Equal(0.1, filter.Fill(), precision: 12);
        Assert.Equal(0.1, filter.EstimateFalsePositiveRate(), precision: 12);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(0.01)]
    [InlineData(1)]
    [InlineData(17.5)]
    [InlineData(64)]
    [InlineData(300)]
    public void ExpectedFalsePositiveRate_AnyLoad_EqualsItsClosedForm(double keysPerBlock)
    {
        // The same expectation by the binomial theorem: E[(1 - q^N)^8] = sum over k of (-1)^k C(8,k) E[q^(kN)], and E[z^N] = exp(-λ(1 - z)).
        double[] binomials = [1, 8, 28, 56, 70, 56, 28, 8, 1];
        double closed = 0;
        for (int k = 0; k <= 8; k++)
        {
            closed += (k % 2 == 0 ? 1 : -1) * binomials[k] * Math.Exp(-keysPerBlock * (1 - Math.Pow(31.0 / 32, k)));
        }

        Assert.Equal(closed, SplitBlockBloomFilter.ExpectedFalsePositiveRate(keysPerBlock), precision: 10);
    }

    [Theory]
    [InlineData(1_000, 0.1)]
    [InlineData(1_000, 0.01)]
    [InlineData(50_000, 0.001)]
    [InlineData(1_000_000, 0.01)]
    [InlineData(1_000_000, 0.0001)]
    [InlineData(20_000_000, 0.001)]
    public void BlocksFor_AnyKeysAndRate_AreEnoughAndTwoFewerAreNot(long keys, double rate)
    {
        int blocks = SplitBlockBloomFilter.BlocksFor(keys, rate);
        Assert.True(SplitBlockBloomFilter.ExpectedFalsePositiveRate(keys / (double)blocks) <= rate);
        Assert.True(SplitBlockBloomFilter.ExpectedFalsePositiveRate(keys / (blocks - 2.0)) > rate);
    }

    [Fact]
    public void BlocksFor_Extremes_StayWithinWhatAFilterCanHave()
    {
        Assert.Equal(1, SplitBlockBloomFilter.BlocksFor(0, 0.01));
        Assert.Equal(1, SplitBlockBloomFilter.BlocksFor(1, 0.01));
        Assert.Equal(MostBlocks, SplitBlockBloomFilter.BlocksFor(100_000_000_000, 1e-9));
        Assert.Equal(MostBlocks, SplitBlockBloomFilter.BlocksFor(long.MaxValue, 0.5));
    }

    private static IEnumerable<ulong> Hashes(int count, int seed)
    {
        var random = new Random(seed);
        return Enumerable.Range(0, count).Select(_ => (ulong)random.NextInt64(long.MinValue, long.MaxValue)).ToArray();
    }

    private static nint AddressOf(SplitBlockBloomFilter filter) => Unsafe.ByteOffset(ref Unsafe.NullRef<uint>(), ref MemoryMarshal.GetReference(filter.Words));
}
