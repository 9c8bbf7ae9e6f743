using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Polly;
using Polly.Registry;
using Polly.Retry;
using Resilience.Caching.Shared;
using Resilience.Caching.Tests.Shared;
using Resilience.Settings;
using Resilience.TestKit;

namespace Resilience.Caching.Tests;

public sealed class RegistrationTests
{
    private static ServiceCollection New(params (string Key, string Value)[] settings)
    {
        var services = new ServiceCollection();
        services.AddSingleton<IConfiguration>(new ConfigurationBuilder().AddInMemoryCollection(settings.Select(pair => KeyValuePair.Create(pair.Key, (string?)pair.Value))).Build());
        return services;
    }

    [Fact]
    public async Task Default_IsTheContainersHybridCacheToo()
    {
        await using ServiceProvider provider = New().AddResilientCache().Services.AddResilientCache().Services.BuildServiceProvider();
        var cache = provider.GetRequiredService<ResilientCache>();
        Assert.Same(cache, provider.GetRequiredService<HybridCache>());
        Assert.Same(cache, provider.GetRequiredKeyedService<ResilientCache>("Default"));
        Assert.Same(cache.Inspector, provider.GetRequiredKeyedService<ICacheInspector>("Default"));
    }

    [Fact]
    public async Task Named_EachHasKeysSettingsAndTierOfItsOwn()
    {
        await using ServiceProvider provider = New(("Resilience:Caches:Default:Expiration", "00:01:00"), ("Resilience:Caches:b:Expiration", "00:02:00"))
            .AddResilientCache("a").Services.AddResilientCache("b").Services.BuildServiceProvider();
        var a = provider.GetRequiredKeyedService<ResilientCache>("a");
        var b = provider.GetRequiredKeyedService<ResilientCache>("b");
        Assert.Same(b, provider.GetRequiredKeyedService<HybridCache>("b"));
        Assert.Equal((TimeSpan.FromMinutes(1), TimeSpan.FromMinutes(2)), (a.Core.Settings.Expiration, b.Core.Settings.Expiration));
        await a.SetAsync("key", "of a");
        Assert.False(b.TryGet<string>("key").HasValue);
        await b.SetAsync("key", "of b");
        await b.ClearAsync();
        Assert.Equal("of a", a.TryGet<string>("key").Value);
    }

    [Theory]
    [InlineData("a:b")]
    [InlineData("{a}")]
    [InlineData(" ")]
    public void Name_ThatCannotBePartOfAKey_IsRefused(string name) => Assert.ThrowsAny<ArgumentException>(() => New().AddResilientCache(name));

    [Fact]
    public async Task UseMemoryCache_TwoCachesInOneOfTheApplication_DoNotSeeOneAnother()
    {
        await using ServiceProvider provider = New().AddMemoryCache().AddResilientCache("a").UseMemoryCache().Services.AddResilientCache("b").UseMemoryCache().Services.BuildServiceProvider();
        var a = provider.GetRequiredKeyedService<ResilientCache>("a");
        var b = provider.GetRequiredKeyedService<ResilientCache>("b");
        await a.SetAsync("key", "of a");
        await b.SetAsync("key", "of b");
        Assert.Equal(2, ((MemoryCache)provider.GetRequiredService<IMemoryCache>()).Count);
        Assert.Equal(("of a", "of b"), (a.TryGet<string>("key").Value, b.TryGet<string>("key").Value));
        await a.ClearAsync();
        Assert.False(a.TryGet<string>("key").HasValue);
        Assert.True(b.TryGet<string>("key").HasValue);
    }

    [Fact]
    public async Task LoadPipeline_Named_RetriesTheFactoryInsideOneLoad()
    {
        ServiceCollection services = New(("Resilience:Caches:Default:LoadPipeline", "sources"));
        services.AddResilientCache();
        var pipelines = new ResiliencePipelineRegistry<string>();
        pipelines.TryAddBuilder("sources", (builder, _) => builder.AddRetry(new RetryStrategyOptions { MaxRetryAttempts = 2, Delay = TimeSpan.Zero }));
        services.AddSingleton<ResiliencePipelineProvider<string>>(pipelines);
        await using ServiceProvider provider = services.BuildServiceProvider();
        var cache = provider.GetRequiredService<ResilientCache>();
        int calls = 0;
        Assert.Equal("value", await cache.GetAsync("key", _ => ++calls < 3 ? throw new InvalidDataException() : new ValueTask<string>("value")));
        Assert.Equal((3, 1L), (calls, cache.Snapshot().SourceLoads));
        calls = 0;
        Assert.Equal("many", (await cache.ManyAsync(["many"], keys => ++calls < 3 ? throw new InvalidDataException() : keys.Select(key => (key, key))))["many"]);
        Assert.Equal(3, calls);
    }

    [Fact]
    public async Task SharedPipeline_GoesAroundEachCallOfTheTier()
    {
        var tier = new FakeSharedTier();
        int failures = 2;
        tier.Before = _ => Interlocked.Decrement(ref failures) >= 0 ? Task.FromException(new IOException()) : Task.CompletedTask;
        ResiliencePipeline retry = new ResiliencePipelineBuilder().AddRetry(new RetryStrategyOptions { MaxRetryAttempts = 3, Delay = TimeSpan.Zero }).Build();
        await using ResilientCache cache = TestCache.New(shared: tier, parts: parts => parts with { SharedPipeline = retry });
        await cache.SetAsync("key", "value");
        Assert.NotNull(tier["v1:test:key"]);
        Assert.Equal(0, cache.Snapshot().SharedFailures);
    }

    [Fact]
    public async Task Pipeline_ThatNobodyRegistered_IsAnErrorThatNamesSettingAndPipeline()
    {
        await using ServiceProvider provider = New(("Resilience:Caches:Default:Shared:Pipeline", "nope")).AddResilientCache().Services.BuildServiceProvider();
        SettingsException failure = Assert.Throws<SettingsException>(provider.GetRequiredService<ResilientCache>);
        Assert.Contains("Shared:Pipeline", failure.Message, StringComparison.Ordinal);
        Assert.Contains("'nope'", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task HostStops_BackgroundWritesAreFinishedFirst()
    {
        var tier = new FakeSharedTier();
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        tier.Before = call => call == "write" ? gate.Task : Task.CompletedTask;
        ServiceCollection services = New(("Resilience:Caches:Default:Shared:HardTimeout", "00:00:30"));
        services.AddSingleton<ISharedTier>(tier).AddResilientCache();
        await using ServiceProvider provider = services.BuildServiceProvider();
        IHostedService starter = Assert.Single(provider.GetServices<IHostedService>(), service => service is CacheStarter);
        await starter.StartAsync(default);
        await provider.GetRequiredService<ResilientCache>().GetAsync("key", "value");
        Task stop = starter.StopAsync(default);
        Assert.False(stop.IsCompleted);
        gate.SetResult();
        await stop.Soon();
        Assert.NotNull(tier["v1:Default:key"]);
    }

    [Fact]
    public async Task HealthCheck_SharedTierOut_IsDegradedNeverUnhealthy()
    {
        var tier = new FakeSharedTier { Fails = true };
        ServiceCollection services = New();
        services.AddLogging().AddSingleton<ISharedTier>(tier).AddResilientCache();
        await using ServiceProvider provider = services.BuildServiceProvider();
        var cache = provider.GetRequiredService<ResilientCache>();
        var health = provider.GetRequiredService<HealthCheckService>();
        Assert.Equal(HealthStatus.Healthy, (await health.CheckHealthAsync()).Entries["cache:Default"].Status);
        for (int i = 0; i < 8; i++)
        {
            await cache.GetAsync($"key{i}", "x");
        }

        Assert.Equal(HealthStatus.Degraded, (await health.CheckHealthAsync()).Entries["cache:Default"].Status);
    }

    [Fact]
    public async Task Metrics_AreThoseOfTheSnapshot()
    {
        await using ServiceProvider provider = New().AddResilientCache("metered").Services.BuildServiceProvider();
        var cache = provider.GetRequiredKeyedService<ResilientCache>("metered");
        using var metrics = new MetricCollector("Resilience.Caching", provider.GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>());
        await cache.GetAsync("key", "x");
        await cache.GetAsync("key", "x");
        await Assert.ThrowsAsync<InvalidDataException>(async () => await cache.GetAsync<string>("bad", _ => throw new InvalidDataException()));
        metrics.Observe();
        foreach ((string name, double value) in ((string, double)[])[("local.hits", 1), ("source.loads", 2), ("source.failures", 1), ("local.entries", 1), ("flights", 0)])
        {
            Assert.Equal(value, metrics.Sum($"resilience.cache.{name}", ("cache.name", "metered")));
        }
    }

    [Fact]
    public async Task ServesStaleFirst_StaleCopyAtHand_AnswersItAtOnceAndLoadsBehind()
    {
        var time = new ManualTimeProvider();
        await using ResilientCache cache = TestCache.New(time);
        await cache.GetAsync("key", "old");
        time.Advance(TimeSpan.FromSeconds(61));
        cache.ServesStaleFirst = true;
        var gate = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        int calls = 0;
        for (int i = 0; i < 3; i++)
        {
            ValueTask<string> read = cache.GetAsync("key", _ =>
            {
                Interlocked.Increment(ref calls);
                return new ValueTask<string>(gate.Task);
            });
            Assert.True(read.IsCompletedSuccessfully);
            Assert.Equal("old", await read);
        }

        gate.SetResult("new");
        TestCache.Until(() => cache.TryGet<string>("key") is { Value: "new", IsStale: false }, "the load behind");
        Assert.Equal(1, calls);
        Assert.Equal("first", await cache.GetAsync("nothing stale", "first"));
        cache.ServesStaleFirst = false;
        time.Advance(TimeSpan.FromSeconds(61));
        Assert.Equal("newer", await cache.GetAsync("key", "newer"));
    }
}
