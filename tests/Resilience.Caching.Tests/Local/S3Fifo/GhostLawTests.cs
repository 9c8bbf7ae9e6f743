using System.Globalization;
using Resilience.Caching.Local.S3Fifo;

namespace Resilience.Caching.Tests.Local.S3Fifo;

/// <summary>What the ghost promises by itself: whom it remembers, for how long, and what that takes.</summary>
public sealed class GhostLawTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(10)]
    [InlineData(1_000)]
    public void UnitWeights_RemembersForExactlyItsWindow(int window)
    {
        var ghost = new GhostTable(window, capacity: 4_096);
        ghost.Add(Hash(0), 1);
        for (int i = 1; i < window; i++)
        {
            ghost.Add(Hash(i), 1);
        }

        GhostTable late = Copy(window);
        Assert.True(ghost.Take(Hash(0)));  // window - 1 have passed since
        Assert.False(ghost.Take(Hash(0))); // and is forgotten
        late.Add(Hash(window), 1);
        Assert.False(late.Take(Hash(0)));  // window have
        Assert.True(late.Take(Hash(1)));

        static GhostTable Copy(int window)
        {
            var copy = new GhostTable(window, capacity: 4_096);
            for (int i = 0; i < window; i++)
            {
                copy.Add(Hash(i), 1);
            }

            return copy;
        }
    }

    [Fact]
    public void Weights_AreWhatItsClockCounts()
    {
        var ghost = new GhostTable(window: 1_000_000, capacity: 100);
        ghost.Add(1, 1);
        ghost.Add(2, 499_000);
        Assert.True(ghost.Take(1));
        ghost.Add(1, 1);
        ghost.Add(3, 999_000);
        Assert.True(ghost.Take(1));
        ghost.Add(1, 1);
        ghost.Add(4, 1_001_000);
        Assert.False(ghost.Take(1));
        Assert.False(ghost.Take(99));
    }

    [Fact]
    public void AddedAgain_StandsOnceAndIsAsYoungAsTheLatest()
    {
        var ghost = new GhostTable(window: 10, capacity: 100);
        ghost.Add(1, 1);
        for (int i = 0; i < 8; i++)
        {
            ghost.Add(2, 1);
        }

        ghost.Add(1, 1);
        for (int i = 0; i < 5; i++)
        {
            ghost.Add(2, 1);
        }

        Assert.True(ghost.Take(1)); // 5 have passed, not 14
        Assert.False(ghost.Take(1));
    }

    [Fact]
    public void AddedAgain_InAFullBucket_DrivesNobodyOutAndStandsOnce()
    {
        int[] together = [.. SameBucket(0x12345).Take(8)];
        for (int again = 0; again < together.Length; again++)
        {
            var ghost = new GhostTable(window: 1_000, capacity: 4_096);
            foreach (int hash in together.Append(together[again]))
            {
                ghost.Add(hash, 1);
            }

            Assert.All(together, hash => Assert.True(ghost.Take(hash)));
            Assert.All(together, hash => Assert.False(ghost.Take(hash)));
        }
    }

    [Fact]
    public void FullBucket_TheOldestGivesWay()
    {
        int[] together = [.. SameBucket(0x12345).Take(9)];
        var ghost = new GhostTable(window: 1_000, capacity: 4_096);
        foreach (int hash in together)
        {
            ghost.Add(hash, 1);
        }

        Assert.False(ghost.Take(together[0]));
        Assert.All(together.Skip(1), hash => Assert.True(ghost.Take(hash)));
    }

    [Fact]
    public void FreedPlace_IsTakenBeforeAnybodyGivesWay()
    {
        int[] together = [.. SameBucket(0x12345).Take(9)];
        var ghost = new GhostTable(window: 1_000, capacity: 4_096);
        foreach (int hash in together.Take(8))
        {
            ghost.Add(hash, 1);
        }

        Assert.True(ghost.Take(together[3]));
        ghost.Add(together[8], 1);
        Assert.All(together.Where((_, i) => i != 3), hash => Assert.True(ghost.Take(hash)));
    }

    [Fact]
    public void HashOfZero_IsRememberedLikeAnyOther()
    {
        var ghost = new GhostTable(window: 10, capacity: 100);
        Assert.False(ghost.Take(0));
        ghost.Add(0, 1);
        Assert.True(ghost.Take(0));
        Assert.False(ghost.Take(0));
    }

    [Fact]
    public void Grows_KeepsWhatItKnewUntilThatHasAgedAndThenLetsTheOldTableGo()
    {
        var ghost = new GhostTable(window: 100, capacity: 8);
        long capacity = ghost.Capacity;
        Assert.Equal(16, capacity); // twice what was asked for, and never less than two buckets
        Assert.False(ghost.Take(1));
        Assert.Equal(0, ghost.Bytes); // nothing is taken before something is put in
        ghost.Add(1, 1);
        Assert.Equal(capacity * sizeof(ulong), ghost.Bytes);
        ghost.EnsureCapacity((long)(capacity * 0.75));
        Assert.Equal(capacity, ghost.Capacity); // three quarters are room enough
        ghost.EnsureCapacity((long)(capacity * 0.75) + 1);
        Assert.True(ghost.Capacity >= capacity + ((capacity * 0.75) + 1) / 0.75);
        Assert.True(ghost.Take(1));

        ghost.Add(2, 1);
        long second = ghost.Capacity - capacity;
        ghost.EnsureCapacity(5_000);
        long both = ghost.Capacity;
        ghost.Add(3, 99);
        Assert.Equal(both, ghost.Capacity);
        Assert.Equal((second + 4_096) * sizeof(ulong), ghost.Bytes); // the second table and one piece of the third; the first had to go
        Assert.True(ghost.Take(2)); // 99 have passed
        ghost.Add(4, 2);
        Assert.True(ghost.Capacity < both); // whatever was in the old table has aged
        Assert.True(System.Numerics.BitOperations.IsPow2(ghost.Capacity));
        Assert.InRange(ghost.Capacity, (long)(5_000 / 0.75), (long)(5_000 / 0.75 * 2) + 2);
        Assert.InRange(ghost.Bytes, 1, ghost.Capacity * sizeof(ulong));
    }

    [Fact]
    public void ManyKeys_RemembersNearlyAllOfTheWindowAndNothingBeyondIt()
    {
        const int Window = 20_000;
        var ghost = new GhostTable(Window, capacity: Window);
        for (int i = 0; i < 3 * Window; i++)
        {
            ghost.Add(Hash(i), 1);
        }

        int within = Enumerable.Range(2 * Window, Window).Count(i => ghost.Take(Hash(i)));
        Assert.InRange(within, (int)(Window * 0.97), Window);
        Assert.All(Enumerable.Range(0, 2 * Window), i => Assert.False(ghost.Take(Hash(i))));
    }

    [Fact]
    public void Capacity_LeastAndMost_AreTwoBucketsAndAQuarterOfABillion()
    {
        var least = new GhostTable(window: 10, capacity: 0);
        Assert.Equal(16, least.Capacity);
        least.Add(1, 1);
        Assert.True(least.Take(1));

        const long Most = 1 << 28;
        var most = new GhostTable(window: 10, capacity: Most); // takes no memory but that for its list of pieces
        Assert.Equal(Most, most.Capacity);
        most.EnsureCapacity(Most);
        Assert.Equal(Most, most.Capacity);
        foreach (int hash in new[] { 0, 1, int.MaxValue, int.MinValue, -1 })
        {
            most.Add(hash, 1);
            Assert.True(most.Take(hash));
        }
    }

    private static int Hash(int i) => KeyHash.Of(i.ToString(CultureInfo.InvariantCulture));

    /// <summary>Hashes that differ and fall into one bucket: the bucket is told by the middle bits of a product.</summary>
    private static IEnumerable<int> SameBucket(int first) =>
        Enumerable.Range(first, int.MaxValue - first).Where(hash => Bucket(hash) == Bucket(first));

    private static uint Bucket(int hash) => (uint)(((uint)hash * 0x9E3779B97F4A7C15UL) >> 32) & 8_191 & ~7u;
}
