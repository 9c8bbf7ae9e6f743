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
    /// <summary>The machine that runs the tests may well be short of memory or processors: features are degraded by what a test does alone.</summary>
    private static readonly Dictionary<string, string?> NothingPresses = new(StringComparer.Ordinal)
    {
        ["Resilience:Degrade:Pressure:Memory:Enabled"] = "false",
        ["Resilience:Degrade:Pressure:Cpu:Enabled"] = "false",
        ["Resilience:Degrade:Pressure:ThreadPool:Enabled"] = "false",
    };

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
        builder.Configuration.AddInMemoryCollection(NothingPresses);
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

    public async ValueTask DisposeAsync()
    {
        await EndAsync(_host.StopAsync());
        await EndAsync(((IAsyncDisposable)_host).DisposeAsync().AsTask());
    }

    /// <summary>What a stop still waits for has its time, which on a clock that stands would never be up.</summary>
    private async Task EndAsync(Task task)
    {
        if (_time is not null)
        {
            await _time.AdvanceUntilAsync(TimeSpan.FromSeconds(1), () => task.IsCompleted, "the end of the host");
        }

        await task;
    }
}
