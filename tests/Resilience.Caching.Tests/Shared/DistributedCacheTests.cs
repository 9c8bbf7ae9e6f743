using System.Buffers;
using System.Collections.Concurrent;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching.Shared;

namespace Resilience.Caching.Tests.Shared;

/// <summary>Any IDistributedCache as the shared tier, with the weaker promises that the page states.</summary>
public sealed class DistributedCacheTests
{
    public static TheoryData<bool> Kinds() => [false, true];

    private static ServiceProvider Node(IDistributedCache cache) => new ServiceCollection().AddSingleton(cache).AddResilientCache("test").UseDistributedCache().Services.BuildServiceProvider();

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task TwoNodes_ShareValuesTagsAndRemovals(bool isBuffered)
    {
        IDistributedCache vendor = isBuffered ? new BufferedVendor() : new Vendor();
        await using ServiceProvider one = Node(vendor);
        await using ServiceProvider two = Node(vendor);
        await using ServiceProvider three = Node(vendor);
        ResilientCache a = one.GetRequiredKeyedService<ResilientCache>("test");
        ResilientCache b = two.GetRequiredKeyedService<ResilientCache>("test");
        await a.SetAsync("key", new List<int> { 1, 2 }, tags: ["tag"]);
        await a.SetAsync("other", "value");
        Assert.Equal([1, 2], await b.GetAsync<List<int>>("key", _ => throw new InvalidOperationException(), tags: ["tag"]));
        Assert.Equal("value", Assert.Single(await b.TryGetManyAsync<string>(["other", "nothing"])).Value);

        await a.RemoveByTagAsync("tag");
        await a.RemoveAsync("other");
        ResilientCache c = three.GetRequiredKeyedService<ResilientCache>("test");
        Assert.Equal([3], await c.GetAsync("key", _ => new ValueTask<List<int>>([3]), tags: ["tag"]));
        Assert.Equal("new", await c.GetAsync("other", "new"));
        Assert.Equal(isBuffered, vendor is BufferedVendor { BufferedCalls: > 0 });
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task Vendor_ThatFails_CostsNoCallerAnything(bool isBuffered)
    {
        Vendor vendor = isBuffered ? new BufferedVendor() : new Vendor();
        vendor.Fails = true;
        await using ServiceProvider node = Node(vendor);
        ResilientCache cache = node.GetRequiredKeyedService<ResilientCache>("test");
        for (int i = 0; i < 20; i++)
        {
            Assert.Equal("value", await cache.GetAsync($"key{i}", "value"));
        }

        await cache.SetAsync("key", "set");
        await cache.RemoveAsync("key0");
        await cache.ClearAsync();
        Assert.Equal(SharedTierState.Open, cache.Snapshot().SharedState);
    }

    /// <summary>16 bytes of somebody else's, read as numbers, must not become the floor above which nothing can be counted.</summary>
    [Fact]
    public async Task Versions_OverwrittenWithSomethingElse_BeginAnewAndRise()
    {
        var vendor = new Vendor();
        var tier = new DistributedCacheTier(vendor, TimeProvider.System);
        TagVersion before = (await tier.ReadVersionsAsync(["tag"], [default], default))[0];
        byte[] garbage = new byte[16];
        Array.Fill(garbage, byte.MaxValue);
        garbage[7] = garbage[15] = 0x7f; // both the largest number that there is
        await vendor.SetAsync("version:tag", garbage, new DistributedCacheEntryOptions { AbsoluteExpirationRelativeToNow = TimeSpan.FromHours(1) });
        TagVersion read = (await tier.ReadVersionsAsync(["tag"], [before], default))[0];
        TagVersion raised = await tier.RaiseVersionAsync("tag", isRemoval: true, read, default);
        Assert.True(before.Latest < read.Latest && read.Latest < raised.Latest, $"{before}, {read}, {raised}");
        Assert.Equal(raised, (await tier.ReadVersionsAsync(["tag"], [read], default))[0]);
    }

    [Fact]
    public async Task Expire_KeepsTheCopyForAnHourAtMost()
    {
        var time = new TestKit.ManualTimeProvider();
        var vendor = new Vendor();
        var tier = new DistributedCacheTier(vendor, time);
        byte[] value = new byte[SharedEnvelope.Size + 3];
        SharedEnvelope.Write(value, 1, SharedEnvelope.Live);
        await tier.WriteAsync(new SharedWrite("k", value, TimeSpan.FromMinutes(5)), default);
        await tier.ExpireAsync("k", 2, TimeSpan.FromMinutes(1), default);
        Assert.True(vendor.Lifetimes["k"] <= TimeSpan.FromHours(1));
        await tier.ExpireAsync("none", 3, TimeSpan.FromMinutes(1), default);
        Assert.Equal(TimeSpan.FromMinutes(1), vendor.Lifetimes["none"]);
    }

    private class Vendor : IDistributedCache
    {
        private readonly ConcurrentDictionary<string, byte[]> _values = new();

        public ConcurrentDictionary<string, TimeSpan> Lifetimes { get; } = new();

        public bool Fails { get; set; }

        public byte[]? Get(string key) => throw new NotSupportedException("The cache never blocks.");

        public Task<byte[]?> GetAsync(string key, CancellationToken token = default) =>
            Fails ? Task.FromException<byte[]?>(new IOException()) : Task.FromResult(_values.GetValueOrDefault(key));

        public void Refresh(string key) => throw new NotSupportedException();

        public Task RefreshAsync(string key, CancellationToken token = default) => throw new NotSupportedException();

        public void Remove(string key) => throw new NotSupportedException();

        public Task RemoveAsync(string key, CancellationToken token = default) => throw new NotSupportedException();

        public void Set(string key, byte[] value, DistributedCacheEntryOptions options) => throw new NotSupportedException();

        public Task SetAsync(string key, byte[] value, DistributedCacheEntryOptions options, CancellationToken token = default)
        {
            if (Fails)
            {
                throw new IOException();
            }

            _values[key] = value;
            Lifetimes[key] = options.AbsoluteExpirationRelativeToNow!.Value;
            return Task.CompletedTask;
        }
    }

    private sealed class BufferedVendor : Vendor, IBufferDistributedCache
    {
        public int BufferedCalls;

        public void Set(string key, ReadOnlySequence<byte> value, DistributedCacheEntryOptions options) => throw new NotSupportedException();

        public async ValueTask SetAsync(string key, ReadOnlySequence<byte> value, DistributedCacheEntryOptions options, CancellationToken token = default)
        {
            Interlocked.Increment(ref BufferedCalls);
            await SetAsync(key, value.ToArray(), options, token);
        }

        public bool TryGet(string key, IBufferWriter<byte> destination) => throw new NotSupportedException();

        public async ValueTask<bool> TryGetAsync(string key, IBufferWriter<byte> destination, CancellationToken token = default)
        {
            Interlocked.Increment(ref BufferedCalls);
            if (await GetAsync(key, token) is not { } value)
            {
                return false;
            }

            destination.Write(value);
            return true;
        }
    }
}
