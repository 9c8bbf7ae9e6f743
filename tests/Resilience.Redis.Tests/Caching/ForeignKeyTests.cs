using Resilience.Caching;
using Resilience.Caching.Shared;
using Resilience.Redis.Caching;
using Resilience.Settings;
using Resilience.TestKit;
using StackExchange.Redis;

namespace Resilience.Redis.Tests.Caching;

/// <summary>Keys as others have left them: of another type, no text of ours, or about to lapse. Each heals with its next use.</summary>
public sealed class ForeignKeyTests(SharedRedis shared)
{
    private readonly string _prefix = $"{Guid.NewGuid():N}:";

    [Fact]
    public async Task ReadVersions_InUse_DoNotLapse()
    {
        (RedisSharedTier tier, IDatabase database) = await OpenAsync();
        string[] names = ["v1:t:one", "v1:t:two"];
        TagVersion[] versions = await tier.ReadVersionsAsync(names, [default, default], default);
        foreach (string name in names)
        {
            await database.KeyExpireAsync(_prefix + "version:" + name, TimeSpan.FromMinutes(1)).OnPool();
        }

        Assert.Equal(versions, await tier.ReadVersionsAsync(names, [default, default], default));
        foreach (string name in names)
        {
            await Eventually.TrueAsync(async () => await database.KeyTimeToLiveAsync(_prefix + "version:" + name).OnPool() > TimeSpan.FromDays(29), "the version is kept from its last use on");
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("nonsense")]
    [InlineData("-1 2")]
    [InlineData("99999999999999999999 1")]
    [InlineData("5000000000000000000 1")]
    [InlineData(null)]
    public async Task Versions_OverwrittenWithSomethingElse_BeginAnewAndRise(string? text)
    {
        (RedisSharedTier tier, IDatabase database) = await OpenAsync();
        TagVersion before = (await tier.ReadVersionsAsync(["v1:t:x"], [default], default))[0];
        await OverwriteAsync(database, _prefix + "version:v1:t:x", text);
        TagVersion read = (await tier.ReadVersionsAsync(["v1:t:x"], [default], default))[0];
        Assert.True(read.Removed > before.Latest, $"{read} after {before}");
        await OverwriteAsync(database, _prefix + "version:v1:t:x", text);
        TagVersion raised = await tier.RaiseVersionAsync("v1:t:x", isRemoval: false, read, default);
        Assert.True(raised.Latest > read.Latest, $"{raised} after {read}");
        Assert.Equal(raised, (await tier.ReadVersionsAsync(["v1:t:x"], [raised], default))[0]);
    }

    [Fact]
    public async Task Value_OfAnotherType_IsABadFrameAndIsWrittenOver()
    {
        await using RedisNode node = await RedisNode.StartAsync((await shared.GetAsync()).Endpoint, _prefix);
        (RedisSharedTier tier, IDatabase database) = await OpenAsync();
        await Eventually.TrueAsync(() => node.Cache.Snapshot().Distrusted > 0, "the node hears, and doubts what it had before");
        await node.GetAsync("warm", () => "x");
        await OverwriteAsync(database, _prefix + "{v1:Default:key}", null);
        Assert.Equal("value", await node.GetAsync("key", () => "value"));
        await node.Cache.Writer.DrainAsync(TimeSpan.FromSeconds(30));
        Assert.True((await tier.ReadAsync("v1:Default:key", default))!.Length > SharedEnvelope.Size);
        CacheSnapshot snapshot = node.Cache.Snapshot();
        Assert.Equal((1, 0, 0), (snapshot.BadFrames, snapshot.SharedFailures, snapshot.SharedRejected));
    }

    [Fact]
    public async Task Expire_KeyOfAnotherType_LeavesATombstone()
    {
        (RedisSharedTier tier, IDatabase database) = await OpenAsync();
        await OverwriteAsync(database, _prefix + "{v1:t:key}", null);
        await tier.ExpireAsync("v1:t:key", 5, TimeSpan.FromMinutes(1), default);
        Assert.Equal(SharedEnvelope.Tombstone, SharedEnvelope.State(await tier.ReadAsync("v1:t:key", default)));
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData(null)]
    public async Task Publish_CounterOverwritten_GoesOnAboveWhereItWas(string? text)
    {
        (_, IDatabase database) = await OpenAsync();
        var backplane = new RedisBackplane(await ConnectionAsync());
        long before = await backplane.PublishAsync("v1:t:changes", [1], default);
        Assert.Equal(before + 1, await backplane.PublishAsync("v1:t:changes", [1], default));
        await OverwriteAsync(database, _prefix + "counter:v1:t:changes", text);
        long after = await backplane.PublishAsync("v1:t:changes", [1], default);
        Assert.True(after > before + 1, $"{after} after {before + 1}"); // a gap, which is noticed
        Assert.Equal(after + 1, await backplane.PublishAsync("v1:t:changes", [1], default));
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData("")]
    [InlineData(null)]
    public async Task Lease_KeyOfSomethingThatStays_IsTakenAtOnce(string? text)
    {
        (_, IDatabase database) = await OpenAsync();
        var leases = new RedisLeaseStore(await ConnectionAsync());
        await OverwriteAsync(database, _prefix + "{v1:t:key}:lease", text);
        Assert.Equal(1, await leases.TryAcquireAsync("v1:t:key", "one", TimeSpan.FromMinutes(5), default));
        Assert.Equal(0, await leases.TryAcquireAsync("v1:t:key", "two", TimeSpan.FromMinutes(5), default));
        Assert.True(await leases.TryRenewAsync("v1:t:key", "one", TimeSpan.FromMinutes(5), default));
    }

    [Fact]
    public async Task Lease_OverwrittenWhileItIsHeld_IsLostWithoutAFailure()
    {
        (_, IDatabase database) = await OpenAsync();
        var leases = new RedisLeaseStore(await ConnectionAsync());
        await leases.TryAcquireAsync("v1:t:key", "one", TimeSpan.FromMinutes(5), default);
        await OverwriteAsync(database, _prefix + "{v1:t:key}:lease", null);
        Assert.False(await leases.TryRenewAsync("v1:t:key", "one", TimeSpan.FromMinutes(5), default));
        await leases.ReleaseAsync("v1:t:key", "one", default);
        Assert.Equal(2, await leases.TryAcquireAsync("v1:t:key", "two", TimeSpan.FromMinutes(5), default));
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData("-1")]
    [InlineData("9223372036854775807")]
    [InlineData("9100000000000000")]
    [InlineData(null)]
    public async Task Fence_OverwrittenWithSomethingElse_BeginsAnewAboveWhatItWas(string? text)
    {
        (RedisSharedTier tier, IDatabase database) = await OpenAsync();
        var leases = new RedisLeaseStore(await ConnectionAsync());
        long before = await leases.TryAcquireAsync("v1:t:key", "one", TimeSpan.FromMinutes(5), default);
        await leases.ReleaseAsync("v1:t:key", "one", default);
        await OverwriteAsync(database, _prefix + "{v1:t:key}:fence", text);
        Assert.False(await WriteAsync(before));
        long fence = await leases.TryAcquireAsync("v1:t:key", "two", TimeSpan.FromMinutes(5), default);
        Assert.True(fence > before, $"{fence} after {before}");
        Assert.False(await WriteAsync(before));
        Assert.True(await WriteAsync(fence));

        Task<bool> WriteAsync(long under) =>
            tier.WriteAsync(new SharedWrite("v1:t:key", SharedEnvelope.NewTombstone(), TimeSpan.FromMinutes(1), IsConditional: true, Expected: 0, Fence: under), default);
    }

    [Fact]
    public async Task Configuration_ThatCannotBeRead_IsToldAtStartWithoutItsSecret_AndDisposesInPeace()
    {
        var options = new RedisOptions { Configuration = "127.0.0.1:1,password=hidden,connectTimeout=soon" };
        SettingsException refused = Assert.Throws<SettingsException>(() => LiveSettings<RedisOptions>.Of("Redis", "Resilience:Redis", options));
        Assert.Contains("Resilience:Redis:Configuration", refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("hidden", refused.Message, StringComparison.Ordinal);
        var connection = new RedisConnection(options);
        await Assert.ThrowsAnyAsync<Exception>(connection.GetAsync);
        await connection.DisposeAsync();
    }

    /// <summary>Overwrites a key: with a text, or with a list where there is none.</summary>
    private static async Task OverwriteAsync(IDatabase database, string key, string? text)
    {
        await (text is null
            ? database.ScriptEvaluateAsync("redis.call('DEL', KEYS[1]) return redis.call('LPUSH', KEYS[1], 'x')", [(RedisKey)key], [], CommandFlags.None).OnPool()
            : database.ScriptEvaluateAsync("return redis.call('SET', KEYS[1], ARGV[1])", [(RedisKey)key], [text], CommandFlags.None).OnPool());
    }

    private async Task<RedisConnection> ConnectionAsync() => new(new RedisOptions { Configuration = (await shared.GetAsync()).Endpoint, KeyPrefix = _prefix });

    private async Task<(RedisSharedTier Tier, IDatabase Database)> OpenAsync()
    {
        RedisConnection connection = await ConnectionAsync();
        return (new RedisSharedTier(connection), (await connection.GetAsync()).GetDatabase());
    }
}
