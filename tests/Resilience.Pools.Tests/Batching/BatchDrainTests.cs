namespace Resilience.Pools.Tests.Batching;

/// <summary>How long a drain may take.</summary>
public sealed class BatchDrainTests
{
    [Fact]
    public async Task DrainAsync_NegativeTime_IsRefusedAndTheWriterGoesOn()
    {
        await using var writer = new BatchWriter<int>("test", static (_, _) => default);
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => writer.DrainAsync(TimeSpan.FromSeconds(-5)));
        Assert.True(writer.TryWrite(1));
    }

    [Fact]
    public async Task DrainAsync_LongerThanATimerLasts_WritesAll()
    {
        var writer = new BatchWriter<int>("test", static (_, _) => default);
        Assert.True(writer.TryWrite(1));
        Assert.Equal(new BatchDrainResult(1, 0, 0), await writer.DrainAsync(TimeSpan.MaxValue));
    }
}
