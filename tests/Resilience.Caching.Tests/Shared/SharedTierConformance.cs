using Resilience.Caching.Shared;

namespace Resilience.Caching.Tests.Shared;

/// <summary>What every shared tier must do; run over each implementation.</summary>
public abstract class SharedTierConformance
{
    private protected abstract Task<ISharedTier> CreateAsync();

    private static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);

    private static byte[] Value(long version, byte content = 7)
    {
        byte[] value = new byte[SharedEnvelope.Size + 3];
        SharedEnvelope.Write(value, version, SharedEnvelope.Live);
        value[^1] = content;
        return value;
    }

    [Fact]
    public async Task Read_NothingThere_IsNull()
    {
        ISharedTier tier = await CreateAsync();
        Assert.Null(await tier.ReadAsync("v1:t:none", default));
        Assert.Equal([null, null], await tier.ReadManyAsync(["v1:t:none", "v1:t:nothing"], default));
    }

    [Fact]
    public async Task Write_Unconditional_IsReadBack()
    {
        ISharedTier tier = await CreateAsync();
        Assert.True(await tier.WriteAsync(new SharedWrite("v1:t:a", Value(1), Minute), default));
        Assert.True(await tier.WriteAsync(new SharedWrite("v1:t:a", Value(2), Minute), default));
        Assert.Equal(Value(2), await tier.ReadAsync("v1:t:a", default));
        Assert.Equal([Value(2), null], await tier.ReadManyAsync(["v1:t:a", "v1:t:none"], default));
    }

    [Fact]
    public async Task Write_Conditional_OnlyOverTheExpectedVersion()
    {
        ISharedTier tier = await CreateAsync();
        Assert.False(await tier.WriteAsync(new SharedWrite("v1:t:a", Value(2), Minute, IsConditional: true, Expected: 1), default));
        Assert.True(await tier.WriteAsync(new SharedWrite("v1:t:a", Value(2), Minute, IsConditional: true), default));
        Assert.False(await tier.WriteAsync(new SharedWrite("v1:t:a", Value(3), Minute, IsConditional: true), default));
        Assert.False(await tier.WriteAsync(new SharedWrite("v1:t:a", Value(3), Minute, IsConditional: true, Expected: 9), default));
        Assert.True(await tier.WriteAsync(new SharedWrite("v1:t:a", Value(3), Minute, IsConditional: true, Expected: 2), default));
        byte[] tombstone = SharedEnvelope.NewTombstone();
        Assert.True(await tier.WriteAsync(new SharedWrite("v1:t:a", tombstone, Minute), default));
        Assert.False(await tier.WriteAsync(new SharedWrite("v1:t:a", Value(4), Minute, IsConditional: true, Expected: 3), default));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(SharedEnvelope.StateOffset)]
    public async Task Write_ConditionalOverWhatIsTooShortForAValue_IsWrittenAsOverNothing(int length)
    {
        ISharedTier tier = await CreateAsync();
        await tier.WriteAsync(new SharedWrite("v1:t:short", new byte[length], Minute), default);
        Assert.False(await tier.WriteAsync(new SharedWrite("v1:t:short", Value(3), Minute, IsConditional: true, Expected: 9), default));
        Assert.True(await tier.WriteAsync(new SharedWrite("v1:t:short", Value(3), Minute, IsConditional: true), default));
        Assert.Equal(Value(3), await tier.ReadAsync("v1:t:short", default));
    }

    [Fact]
    public async Task Expire_ValueThere_KeepsItAndChangesItsVersion()
    {
        ISharedTier tier = await CreateAsync();
        await tier.WriteAsync(new SharedWrite("v1:t:a", Value(1), Minute), default);
        await tier.ExpireAsync("v1:t:a", 5, Minute, default);
        byte[] read = (await tier.ReadAsync("v1:t:a", default))!;
        Assert.Equal((5, SharedEnvelope.Expired), (SharedEnvelope.Version(read), SharedEnvelope.State(read)));
        Assert.Equal(7, read[^1]);
    }

    [Fact]
    public async Task Expire_NothingThere_LeavesATombstone()
    {
        ISharedTier tier = await CreateAsync();
        await tier.ExpireAsync("v1:t:b", 5, Minute, default);
        byte[] read = (await tier.ReadAsync("v1:t:b", default))!;
        Assert.Equal((5, SharedEnvelope.Tombstone), (SharedEnvelope.Version(read), SharedEnvelope.State(read)));
    }

    [Fact]
    public async Task Versions_OnlyGrow()
    {
        ISharedTier tier = await CreateAsync();
        TagVersion first = (await tier.ReadVersionsAsync(["v1:t:x"], [default], default))[0];
        Assert.True(first.Latest > 0);
        Assert.Equal(first, (await tier.ReadVersionsAsync(["v1:t:x"], [default], default))[0]);
        TagVersion expired = await tier.RaiseVersionAsync("v1:t:x", isRemoval: false, default, default);
        Assert.True(expired.Latest > first.Latest && expired.Removed == first.Removed);
        TagVersion removed = await tier.RaiseVersionAsync("v1:t:x", isRemoval: true, default, default);
        Assert.True(removed.Latest > expired.Latest && removed.Removed == removed.Latest);
        var higher = new TagVersion(removed.Latest + 100, removed.Removed + 50);
        Assert.Equal(higher, (await tier.ReadVersionsAsync(["v1:t:x"], [higher], default))[0]);
        Assert.True((await tier.RaiseVersionAsync("v1:t:x", isRemoval: false, higher, default)).Latest > higher.Latest);
        var lost = new TagVersion(long.MaxValue / 4096, 1);
        Assert.True((await tier.ReadVersionsAsync(["v1:t:lost"], [lost], default))[0].Removed > lost.Latest);
    }
}

public sealed class FakeSharedTierConformance : SharedTierConformance
{
    private protected override Task<ISharedTier> CreateAsync() => Task.FromResult<ISharedTier>(new FakeSharedTier());
}

public sealed class DistributedCacheConformance : SharedTierConformance
{
    private protected override Task<ISharedTier> CreateAsync() =>
        Task.FromResult<ISharedTier>(new DistributedCacheTier(new Microsoft.Extensions.Caching.Distributed.MemoryDistributedCache(Microsoft.Extensions.Options.Options.Create(new Microsoft.Extensions.Caching.Memory.MemoryDistributedCacheOptions())), TimeProvider.System));
}
