using System.Threading.RateLimiting;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Context;
using Resilience.Degrade;
using Resilience.TestKit;

namespace Resilience.Hosting.Tests.Wiring;

/// <summary>What nodes share beside caches is there by configuration alone: overrides that can be signed, and limits of the whole fleet.</summary>
public sealed class FleetWiringTests(SharedRedis shared)
{
    private static readonly Feature Reviews = Feature.Declare("fleet-reviews", Priority.Low);
    private static readonly string SigningKey = Convert.ToBase64String(new byte[32]);

    [Fact]
    public async Task Override_OnOneNode_HoldsOnTheOther()
    {
        RedisServer redis = await shared.GetAsync();
        string prefix = $"{Guid.NewGuid():N}:";
        await using KitHost here = await StartAsync(redis, prefix, ("Resilience:Degrade:Overrides:SigningKey", SigningKey));
        await using KitHost there = await StartAsync(redis, prefix, ("Resilience:Degrade:Overrides:SigningKey", SigningKey));

        await here.Degradation.OverrideAsync(Reviews, FeatureState.Off, "the reviews' database is full", "ops", cancellationToken: TestContext.Current.CancellationToken);

        await Eventually.TrueAsync(() => there.Degradation.StateOf(Reviews) == FeatureState.Off, "the other node obeys");
    }

    [Fact]
    public async Task Override_WithoutASigningKey_StaysOnItsNode()
    {
        RedisServer redis = await shared.GetAsync();
        await using KitHost here = await StartAsync(redis, $"{Guid.NewGuid():N}:");

        Assert.DoesNotContain("Redis", here.Services.GetRequiredService<IOverrideStore>().GetType().Name, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Limit_WithASection_IsALimiterOfTheWholeFleet()
    {
        RedisServer redis = await shared.GetAsync();
        string prefix = $"{Guid.NewGuid():N}:";
        (string, string)[] limit = [("Resilience:Limits:mail:PermitsPerSecond", "0.001"), ("Resilience:Limits:mail:Burst", "10"), ("Resilience:Limits:mail:MaxLease", "0"), ("Resilience:Limits:mail:Timeout", "00:00:10")];
        await using KitHost here = await StartAsync(redis, prefix, limit);
        await using KitHost there = await StartAsync(redis, prefix, limit);
        RateLimiter[] limiters = [here.Services.GetRequiredKeyedService<RateLimiter>("mail"), there.Services.GetRequiredKeyedService<RateLimiter>("mail")];

        int granted = 0;
        for (int i = 0; i < 40; i++)
        {
            using RateLimitLease lease = await limiters[i % 2].AcquireAsync(1, TestContext.Current.CancellationToken);
            granted += lease.IsAcquired ? 1 : 0;
        }

        Assert.Equal(10, granted);
    }

    private static Task<KitHost> StartAsync(RedisServer redis, string prefix, params (string Key, string Value)[] settings) =>
        KitHost.StartAsync(static kit => kit.AddFeature(Reviews), null, [("Resilience:Redis:Configuration", redis.Endpoint), ("Resilience:Redis:KeyPrefix", prefix), .. settings]);
}
