using System.Globalization;
using Resilience.Caching.Local;
using Resilience.Caching.Tests.Local.S3Fifo;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Local;

/// <summary>What every local tier promises, whatever it stands on.</summary>
public abstract class LocalTierConformance : IDisposable
{
    private const int Capacity = 100_000;
    private readonly List<IDisposable> _made = [];

    /// <summary>A clock that stands still.</summary>
    private protected ManualTimeProvider Time { get; } = new();

    /// <summary>Whether the tier knows what it holds; one inside the application's cache does not.</summary>
    private protected virtual bool KnowsItsEntries => true;

    [Theory]
    [InlineData("")]
    [InlineData("k")]
    [InlineData("product:4711")]
    [InlineData("žluťoučký kůň, úpěl ďábelské ódy")]
    [InlineData("nul\0inside")]
    public void Set_AnyKey_IsFoundAsTextAndAsSpan(string key)
    {
        ILocalTier tier = New();
        Assert.Null(tier.Find(key));
        Assert.Null(tier.Find($"x{key}x".AsSpan(1, key.Length)));

        var item = new Item(1);
        tier.Set(key, item);

        Assert.Same(item, tier.Find(key));
        Assert.Same(item, tier.Find($"x{key}x".AsSpan(1, key.Length)));
        Assert.Null(tier.Find(key + "x"));
    }

    [Fact]
    public void Find_KeyOfEveryLength_TellsItFromItsNeighbours()
    {
        ILocalTier tier = New();
        string key = string.Concat(Enumerable.Range(0, 300).Select(i => (char)('a' + (i % 26))));
        for (int length = 0; length <= key.Length; length++)
        {
            tier.Set(key[..length], new Item(length));
        }

        for (int length = 0; length <= key.Length; length++)
        {
            Assert.Equal(length, ((Item)tier.Find(key.AsSpan(0, length))!).Id);
        }
    }

    [Fact]
    public void Find_OtherCase_IsAnotherKey()
    {
        ILocalTier tier = New();
        tier.Set("key", new Item(1));
        Assert.Null(tier.Find("KEY"));
    }

    [Fact]
    public void Set_OverAnother_ReplacesValueAndWeight()
    {
        ILocalTier tier = New();
        tier.Set("key", new Item(1, weight: 10));
        var second = new Item(2, weight: 3);
        tier.Set("key", second);

        Assert.Same(second, tier.Find("key"));
        AssertHolds(tier, count: 1, weight: 3);
    }

    [Fact]
    public void Remove_There_SaysSoOnce()
    {
        ILocalTier tier = New();
        tier.Set("key", new Item(1));
        tier.Set("other", new Item(2));

        Assert.True(tier.Remove("key"));
        Assert.Null(tier.Find("key"));
        Assert.False(tier.Remove("key"));
        Assert.NotNull(tier.Find("other"));
        AssertHolds(tier, count: 1, weight: 1);
    }

    [Fact]
    public void Remove_ExpectedEntry_OnlyWhileItIsThere()
    {
        ILocalTier tier = New();
        var first = new Item(1);
        var second = new Item(2);
        tier.Set("key", first);
        tier.Set("key", second);

        Assert.False(tier.Remove("key", first));
        Assert.Same(second, tier.Find("key"));
        Assert.True(tier.Remove("key", second));
        Assert.Null(tier.Find("key"));
        Assert.False(tier.Remove("key", second));
    }

    [Fact]
    public void Set_AfterRemove_IsThereAgain()
    {
        ILocalTier tier = New();
        for (int i = 0; i < 100; i++)
        {
            var item = new Item(i);
            tier.Set("key", item);
            Assert.Same(item, tier.Find("key"));
            Assert.True(tier.Remove("key"));
        }

        AssertHolds(tier, count: 0, weight: 0);
    }

    [Fact]
    public void Clear_Full_HoldsNothingAndTakesNew()
    {
        if (!KnowsItsEntries)
        {
            return; // the entries cannot be told from the application's own, so they stay: see MemoryCacheTier.Clear
        }

        ILocalTier tier = New();
        for (int i = 0; i < 1_000; i++)
        {
            tier.Set(K(i), new Item(i));
        }

        tier.Clear();
        Assert.DoesNotContain(Enumerable.Range(0, 1_000), i => tier.Find(K(i)) is not null);
        Assert.Empty(tier.Entries());
        tier.Set("key", new Item(1));
        AssertHolds(tier, count: 1, weight: 1);
    }

    [Fact]
    public void Entries_SomeRemoved_AreTheRest()
    {
        ILocalTier tier = New();
        for (int i = 0; i < 1_000; i++)
        {
            tier.Set(K(i), new Item(i, weight: 1 + (i % 3)));
        }

        for (int i = 0; i < 1_000; i += 2)
        {
            Assert.True(tier.Remove(K(i)));
        }

        AssertHolds(tier, count: 500, weight: Enumerable.Range(0, 1_000).Where(i => i % 2 == 1).Sum(i => 1 + (i % 3)));
        if (KnowsItsEntries)
        {
            Assert.Equal(
                Enumerable.Range(0, 1_000).Where(i => i % 2 == 1),
                tier.Entries().Select(entry => ((Item)entry.Value).Id).Order());
            Assert.All(tier.Entries(), entry => Assert.Equal(K(((Item)entry.Value).Id), entry.Key));
        }
    }

    [Fact]
    public void Set_MoreThanFits_StaysWithinTheBound()
    {
        if (!KnowsItsEntries)
        {
            return; // the application's cache has the application's bound
        }

        ILocalTier tier = New(1_000);
        for (int i = 0; i < 10_000; i++)
        {
            tier.Set(K(i), new Item(i, weight: 1 + (i % 5)));
            Assert.InRange(tier.Weight, 0, 1_000);
        }

        Assert.InRange(tier.Count, 1, 1_000);
    }

    [Fact]
    public void Sweep_Living_LeavesThemAlone()
    {
        ILocalTier tier = New();
        long now = new Context.CoarseClock(Time).Milliseconds;
        for (int i = 0; i < 1_000; i++)
        {
            tier.Set(K(i), new Item(i, deadAt: now + 60_000));
        }

        tier.Sweep(now);
        Assert.All(Enumerable.Range(0, 1_000), i => Assert.NotNull(tier.Find(K(i))));
    }

    [Fact]
    public void Find_Hit_AllocatesNothing()
    {
        if (!KnowsItsEntries)
        {
            return; // the prefix that keeps its keys apart from the application's costs a text
        }

        ILocalTier tier = New();
        tier.Set("key", new Item(1));
        AllocationAssert.AtMost(0, () => tier.Find("key"));
        AllocationAssert.AtMost(0, () => tier.Find("a key".AsSpan(2)));
        AllocationAssert.AtMost(0, () => tier.Find("none"));
    }

    [Fact]
    public void Concurrent_OneWriterAKey_ReadersSeeWhatReturnedAndNothingElse()
    {
        const int Keys = 400;
        const int Workers = 4;
        ILocalTier tier = New();
        var held = new Item?[Keys]; // each written by its key's worker alone
        new StressRunner { Workers = Workers, Duration = TimeSpan.FromSeconds(1) }.Run(
            worker =>
            {
                int own = (worker.Random.Next(Keys / Workers) * Workers) + worker.Index;
                switch (worker.Random.Next(4))
                {
                    case 0:
                        held[own] = new Item(own, weight: worker.Random.Next(1, 5));
                        tier.Set(K(own), held[own]!);
                        break;
                    case 1:
                        Assert.Equal(held[own] is not null, tier.Remove(K(own)));
                        held[own] = null;
                        break;
                    case 2:
                        Assert.Equal(held[own] is not null, held[own] is { } expected && tier.Remove(K(own), expected));
                        held[own] = null;
                        break;
                    default:
                        int other = worker.Random.Next(Keys);
                        Assert.True(tier.Find(K(other)) is not Item found || found.Id == other, "a key has another key's entry");
                        break;
                }

                Assert.Same(held[own], tier.Find(K(own)));
            },
            () =>
            {
                for (int key = 0; key < Keys; key++)
                {
                    Assert.Same(held[key], tier.Find(K(key)));
                }

                AssertHolds(tier, held.Count(item => item is not null), held.Sum(item => item?.Weight ?? 0));
            });
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        GC.SuppressFinalize(this);
        _made.ForEach(tier => tier.Dispose());
        _made.ForEach(tier => tier.Dispose()); // twice is harmless
    }

    private protected abstract ILocalTier Create(long capacity);

    private ILocalTier New(long capacity = Capacity)
    {
        ILocalTier tier = Create(capacity);
        _made.Add(tier);
        return tier;
    }

    private void AssertHolds(ILocalTier tier, long count, long weight)
    {
        if (KnowsItsEntries)
        {
            tier.Sweep(0); // after which no writer's node is left to be put in order
            Assert.Equal(count, tier.Count);
            Assert.Equal(weight, tier.Weight);
        }
    }

    private static string K(int key) => key.ToString(CultureInfo.InvariantCulture);
}
