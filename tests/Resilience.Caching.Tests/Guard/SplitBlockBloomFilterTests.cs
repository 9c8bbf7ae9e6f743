using System.Runtime.InteropServices;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Resilience.Caching.Guard;
using Resilience.Caching.Hashing;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Guard;

public class SplitBlockBloomFilterTests
{
    // One block holding "a0" to "a9", XXH64 of the bytes with seed 0: the vector of the Rust implementation of Parquet (arrow-rs, sbbf tests).
    private static readonly byte[] PublishedBlock =
        [200, 1, 80, 20, 64, 68, 8, 109, 6, 37, 4, 67, 144, 80, 96, 32, 8, 132, 43, 33, 0, 5, 99, 65, 2, 0, 224, 44, 64, 78, 96, 4];

    [Fact]
    public void Add_ParquetVector_LaysBitsOutAsPublished()
    {
        var filter = new SplitBlockBloomFilter(1);
        for (int i = 0; i < 10; i++)
        {
            filter.Add(XxHash64.Hash(Encoding.UTF8.GetBytes($"a{i}")));
        }

        Assert.Equal(PublishedBlock, MemoryMarshal.AsBytes(filter.Words).ToArray());
    }

    // Sizes that Parquet's implementations test for: rate, keys, bits.
    [Theory]
    [InlineData(0.1, 10, 57)]
    [InlineData(0.01, 10, 96)]
    [InlineData(0.001, 10, 146)]
    [InlineData(0.1, 1_000, 5_772)]
    [InlineData(0.01, 1_000, 9_681)]
    [InlineData(0.001, 1_000, 14_607)]
    [InlineData(0.1, 1_000_000, 5_772_541)]
    [InlineData(0.01, 1_000_000, 9_681_526)]
    [InlineData(0.001, 1_000_000, 14_607_697)]
    public void BitsByFormula_PublishedCases_Equal(double rate, long keys, long bits) =>
        Assert.Equal(bits, (long)SplitBlockBloomFilter.BitsByFormula(keys, rate));

    [Fact]
    public void MightContain_WhateverWasAdded_IsFound() =>
        Prop.ForAll(ArbMap.Default.ArbFor<ulong[]>(), Gen.Choose(1, 50).ToArbitrary(), (hashes, blocks) =>
        {
            var filter = new SplitBlockBloomFilter(blocks);
            foreach (ulong hash in hashes)
            {
                filter.Add(hash);
            }

            return hashes.All(filter.MightContain) && hashes.All(hash => !filter.Add(hash));
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void Add_FromManyThreads_LosesNoBit()
    {
        var filter = new SplitBlockBloomFilter(64); // few blocks, so that threads meet in the same words
        var reference = new SplitBlockBloomFilter(64);
        ulong[] hashes = [.. Enumerable.Range(0, 20_000).Select(i => XxHash64.Hash($"key-{i}"))];
        foreach (ulong hash in hashes)
        {
            reference.Add(hash);
        }

        Parallel.For(0, 8, worker =>
        {
            for (int i = worker; i < hashes.Length; i += 8)
            {
                filter.Add(hashes[i]);
                Assert.True(filter.MightContain(hashes[i]));
            }
        });

        Assert.Equal(reference.Words.ToArray(), filter.Words.ToArray());
    }

    [Theory]
    [InlineData(100_000, 0.05)]
    [InlineData(100_000, 0.005)]
    [InlineData(100_000, 0.0005)]
    [InlineData(3_000, 0.01)]
    public void BlocksFor_FilledWithWhatItWasMadeFor_StaysWithinTenPercentOfTheRate(int keys, double rate)
    {
        const int Probes = 4_000_000;
        var filter = new SplitBlockBloomFilter(SplitBlockBloomFilter.BlocksFor(keys, rate));
        var random = new Random(7);
        for (int i = 0; i < keys; i++)
        {
            filter.Add((ulong)random.NextInt64(long.MinValue, long.MaxValue));
        }

        int positives = 0;
        for (int i = 0; i < Probes; i++)
        {
            positives += filter.MightContain((ulong)random.NextInt64(long.MinValue, long.MaxValue)) ? 1 : 0;
        }

        Assert.InRange(positives / (double)Probes, rate * 0.9, rate * 1.1);
        Assert.InRange(filter.EstimateFalsePositiveRate(), rate * 0.9, rate * 1.1);
    }

    [Fact]
    public void MightContain_Absent_AllocatesNothing()
    {
        var filter = new SplitBlockBloomFilter(100);
        bool any = false;
        AllocationAssert.AtMost(0, () => any |= filter.MightContain(12345));
        Assert.False(any);
    }
}
