using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Resilience.Caching.Shared;
using Resilience.Caching.Tests.Shared;
using Resilience.Settings;

namespace Resilience.Caching.Tests;

/// <summary>Settings that change while a cache runs, or while it is made.</summary>
public sealed class ReloadTests
{
    [Fact]
    public async Task SharedTier_SwitchedOnByAReload_NodeHearsOfChanges()
    {
        var tier = new FakeSharedTier();
        IConfigurationRoot configuration = New("Resilience:Caches:Default:Shared:Enabled", "false");
        await using ServiceProvider provider = Services(configuration)
            .AddSingleton<ISharedTier>(tier)
            .AddSingleton<IBackplane>(tier)
            .AddResilientCache().Services.BuildServiceProvider();
        ResilientCache cache = provider.GetRequiredService<ResilientCache>();
        await WatchAsync(provider);
        await cache.GetAsync("key", "value");
        Assert.Null(cache.Upkeep.Link);
        Assert.Empty(tier.Calls);
        configuration["Resilience:Caches:Default:Shared:Enabled"] = "true";
        configuration.Reload();
        TestCache.Until(() => cache.Upkeep.Link is { IsUp: true }, "the channel");
    }

    [Fact]
    public async Task Settings_ChangedWhileTheCacheIsMade_AreInForce()
    {
        IConfigurationRoot configuration = New("Resilience:Caches:Default:Expiration", "00:01:00");
        await using ServiceProvider provider = Services(configuration).AddResilientCache().UseMemoryCache(services =>
        {
            configuration["Resilience:Caches:Default:Expiration"] = "00:02:00";
            configuration.Reload();
            var live = services.GetRequiredKeyedService<LiveSettings<CacheOptions>>("Default");
            TestCache.Until(() => live.Current.Expiration == TimeSpan.FromMinutes(2), "the reload");
            return new MemoryCache(Options.Create(new MemoryCacheOptions()));
        }).Services.BuildServiceProvider();
        await WatchAsync(provider);
        Assert.Equal(TimeSpan.FromMinutes(2), provider.GetRequiredService<ResilientCache>().Core.Settings.Expiration);
    }

    private static IConfigurationRoot New(string key, string value) =>
        new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?> { [key] = value }).Build();

    private static IServiceCollection Services(IConfiguration configuration) => new ServiceCollection().AddLogging().AddSingleton(configuration);

    /// <summary>Lets reloads be noticed, as the host does before it starts anything else.</summary>
    private static async Task WatchAsync(IServiceProvider provider)
    {
        foreach (IHostedLifecycleService watcher in provider.GetServices<IHostedService>().OfType<IHostedLifecycleService>())
        {
            await watcher.StartingAsync(CancellationToken.None);
        }
    }
}
