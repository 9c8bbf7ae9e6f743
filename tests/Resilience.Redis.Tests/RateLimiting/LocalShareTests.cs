using Resilience.Redis.RateLimiting;

namespace Resilience.Redis.Tests.RateLimiting;

public sealed class LocalShareTests
{
    [Fact]
    public void TryTake_OwesMoreThanATimeCanHold_StillTellsOne()
    {
        const int Nodes = 10_000;
        var options = new RedisRateLimiterOptions { PermitsPerSecond = 0.0001, Burst = 1_000_000, ExpectedNodes = Nodes };
        var share = new LocalShare(options, now: 0);
        Assert.Equal(TimeSpan.Zero, share.TryTake(options, Nodes, permits: 1_000_000, now: 0));
        Assert.True(share.TryTake(options, Nodes, permits: 1, now: 0) > TimeSpan.FromDays(365));
    }
}
