using Resilience.Caching.Local.S3Fifo;

namespace Resilience.Caching.Tests.Local.S3Fifo;

public sealed class KeyHashTests
{
    [Fact]
    public void Of_ManyKeys_SpreadOverAllBits()
    {
        int[] hashes = [.. Enumerable.Range(0, 100_000).Select(i => KeyHash.Of($"product:{i}"))];
        Assert.InRange(hashes.Distinct().Count(), 99_990, 100_000);
        for (int bit = 0; bit < 32; bit++)
        {
            Assert.InRange(hashes.Count(hash => (hash >> bit & 1) == 1), 48_500, 51_500);
        }
    }
}
