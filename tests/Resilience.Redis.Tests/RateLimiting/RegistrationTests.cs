using System.Diagnostics.Metrics;
using System.Threading.RateLimiting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Redis.Tests.Caching;
using Resilience.Settings;
using Resilience.TestKit;

namespace Resilience.Redis.Tests.RateLimiting;

public sealed class RegistrationTests(SharedRedis redis)
{
    [Fact]
    public async Task Add_Named_ReadsItsSettingsAndMeasures()
    {
        RedisServer server = await redis.GetAsync();
        await using ServiceProvider services = Build(new()
        {
            ["Resilience:Redis:Configuration"] = server.Endpoint,
            ["Resilience:Redis:KeyPrefix"] = $"{Guid.NewGuid():N}:",
            ["Resilience:Limits:mail:PermitsPerSecond"] = "0.01",
            ["Resilience:Limits:mail:Burst"] = "3",
            ["Resilience:Limits:mail:Timeout"] = "00:00:10",
        });
        var limiter = services.GetRequiredKeyedService<RateLimiter>("mail");
        Assert.Same(services.GetRequiredKeyedService<RedisRateLimiter>("mail"), limiter);

        // Connected first: a connection that takes its time is no answer within the limit's timeout, and then the node's share decides.
        var connection = services.GetRequiredService<RedisConnection>();
        await Eventually.TrueAsync(async () => await connection.TryPingAsync(TimeSpan.FromSeconds(10)) is not null, "Redis answers");
        using var metrics = new MetricCollector("Resilience.Redis", services.GetRequiredService<IMeterFactory>());
        bool[] granted = await Task.WhenAll(Enumerable.Range(0, 4).Select(async _ => (await limiter.AcquireAsync()).IsAcquired));
        Assert.Equal(3, granted.Count(isGranted => isGranted));
        metrics.Observe();
        Assert.Equal(3, metrics.Last("resilience.limiter.permits", ("resilience.limiter.name", "mail"), ("outcome", "granted"), ("resilience.limiter.decided_by", "fleet")));
        Assert.Equal(1, metrics.Last("resilience.limiter.permits", ("resilience.limiter.name", "mail"), ("outcome", "refused"), ("resilience.limiter.decided_by", "fleet")));
        Assert.Equal(0, metrics.Last("resilience.limiter.away", ("resilience.limiter.name", "mail")));
        Assert.Equal(1, metrics.Last("resilience.limiter.nodes", ("resilience.limiter.name", "mail")));
    }

    [Fact]
    public async Task Add_WrongSettings_AreToldWithTheirPath()
    {
        await using ServiceProvider services = Build(new()
        {
            ["Resilience:Limits:mail:PermitsPerSecond"] = "0",
            ["Resilience:Limits:mail:Brust"] = "5",
            ["Resilience:Limits:mail:Timeout"] = "1.00:00:00",
        });
        SettingsException error = Assert.Throws<SettingsException>(() => services.GetRequiredKeyedService<RedisRateLimiter>("mail"));
        Assert.Equal(
            ["Resilience:Limits:mail:Brust", "Resilience:Limits:mail:PermitsPerSecond", "Resilience:Limits:mail:Timeout"],
            error.Errors.Select(found => found.Path).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Add_TwiceForAName_KeepsTheFirst()
    {
        var services = new ServiceCollection();
        services.AddRedisRateLimiter("mail", options => options.Burst = 7);
        services.AddRedisRateLimiter("mail", options => options.Burst = 9);
        await using ServiceProvider provider = services.BuildServiceProvider();
        RedisRateLimiter limiter = Assert.Single(provider.GetKeyedServices<RedisRateLimiter>("mail"));
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(async () => await limiter.AcquireAsync(8));
    }

    private static ServiceProvider Build(Dictionary<string, string?> settings)
    {
        var services = new ServiceCollection();
        services.AddSingleton<IConfiguration>(new ConfigurationBuilder().AddInMemoryCollection(settings).Build());
        services.AddRedisRateLimiter("mail");
        return services.BuildServiceProvider();
    }
}
