using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Resilience.Caching;
using Resilience.Degrade;
using Resilience.Pools;
using Resilience.TestKit;

namespace Resilience.Hosting.Tests;

/// <summary>A host with the kit, its settings in memory and its log at hand.</summary>
internal sealed class KitHost : IAsyncDisposable
{
    private readonly IHost _host;
    private readonly ManualTimeProvider? _time;

    private KitHost(IHost host, LogCollector log, TimeProvider? time) => (_host, Log, _time) = (host, log, time as ManualTimeProvider);

    public IServiceProvider Services => _host.Services;

    public LogCollector Log { get; }

    public IDegradation Degradation => Services.GetRequiredService<IDegradation>();

    public static async Task<KitHost> StartAsync(Action<IResilienceKitBuilder> configure, TimeProvider? time = null, params (string Key, string Value)[] settings)
    {
        KitHost kit = Build(configure, time, settings);
        await kit._host.StartAsync();
        return kit;
    }

    public static KitHost Build(Action<IResilienceKitBuilder> configure, TimeProvider? time = null, params (string Key, string Value)[] settings)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { Args = [] });
        builder.Configuration.AddInMemoryCollection(settings.Select(pair => KeyValuePair.Create(pair.Key, (string?)pair.Value)));
        var log = new LogCollector();
        builder.Logging.AddProvider(log);
        if (time is not null)
        {
            builder.Services.AddSingleton(time);
        }

        builder.AddResilienceKit(configure);
        return new KitHost(builder.Build(), log, time);
    }

    public Task StartAsync() => _host.StartAsync();

    public ResilientCache Cache(string name) => Services.GetRequiredKeyedService<ResilientCache>(name);

    public ResourcePool<T> Pool<T>(string name)
        where T : class => Services.GetRequiredKeyedService<ResourcePool<T>>(name);

    /// <summary>Changes a setting as a changed file would.</summary>
    public void Set(string key, string? value)
    {
        var root = (IConfigurationRoot)Services.GetRequiredService<IConfiguration>();
        root[key] = value;
        root.Reload();
    }

    /// <summary>Waits for what another thread brings about; generous, for a machine that does something else too.</summary>
    public static async Task UntilAsync(Func<bool> condition, string what)
    {
        for (int i = 0; i < 6_000 && !condition(); i++)
        {
            await Task.Delay(10);
        }

        Assert.True(condition(), what);
    }

    public async ValueTask DisposeAsync()
    {
        await AdvanceUntilAsync(_host.StopAsync());
        await AdvanceUntilAsync(((IAsyncDisposable)_host).DisposeAsync().AsTask());
    }

    /// <summary>What a stop still waits for has its time, which on a clock that stands would never be up.</summary>
    private async Task AdvanceUntilAsync(Task task)
    {
        while (!task.IsCompleted)
        {
            _time?.Advance(TimeSpan.FromSeconds(1));
            await Task.Delay(5);
        }

        await task;
    }
}
