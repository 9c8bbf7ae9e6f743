using Microsoft.Extensions.Caching.Memory;
using Resilience.Caching.Local;
using Resilience.Caching.Local.S3Fifo;
using Resilience.Context;

namespace Resilience.Caching.Tests.Local;

public sealed class S3FifoTierConformanceTests : LocalTierConformance
{
    private protected override ILocalTier Create(long capacity) => new S3FifoTier(capacity, Time);
}

public sealed class MemoryCacheTierConformanceTests : LocalTierConformance
{
    private protected override ILocalTier Create(long capacity) => new MemoryCacheTier(new LocalTierOptions { SizeLimit = capacity }, new CoarseClock(Time));
}

public sealed class SharedMemoryCacheTierConformanceTests : LocalTierConformance
{
    private readonly MemoryCache _theirs = new(new MemoryCacheOptions { SizeLimit = 1_000_000 });

    private protected override bool KnowsItsEntries => false;

    private protected override ILocalTier Create(long capacity) => new MemoryCacheTier(_theirs, "test", new CoarseClock(Time));

    [Fact]
    public void Find_ApplicationsOwnKey_IsNotOurs()
    {
        using ILocalTier tier = Create(1);
        _theirs.Set("key", "theirs", new MemoryCacheEntryOptions { Size = 1 });
        Assert.Null(tier.Find("key"));
        tier.Set("key", new S3Fifo.Item(1));
        Assert.True(tier.Remove("key"));
        Assert.Equal("theirs", _theirs.Get("key"));
    }

    [Fact]
    public void Dispose_ApplicationsCache_LivesOn()
    {
        Create(1).Dispose();
        _theirs.Set("key", "theirs", new MemoryCacheEntryOptions { Size = 1 });
        Assert.Equal("theirs", _theirs.Get("key"));
    }
}
