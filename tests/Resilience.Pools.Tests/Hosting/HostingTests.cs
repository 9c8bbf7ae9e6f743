using System.Data.Common;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Resilience.Settings;
using Resilience.TestKit;

namespace Resilience.Pools.Tests.Hosting;

public sealed class HostingTests
{
    private readonly Factory _factory = new();

    private ServiceProvider Build(Action<IServiceCollection> add, params (string Key, string Value)[] settings)
    {
        var services = new ServiceCollection();
        services.AddSingleton<IConfiguration>(new ConfigurationBuilder().AddInMemoryCollection(settings.Select(pair => KeyValuePair.Create(pair.Key, (string?)pair.Value))).Build());
        add(services);
        return services.BuildServiceProvider();
    }

    [Fact]
    public async Task AddResourcePool_Configured_IsKeyedAndReadsItsSection()
    {
        await using ServiceProvider services = Build(all => all.AddResourcePool<Resource>("smtp", _ => _factory).Configure(options => options.MaxSize = 3), ("Resilience:Pools:smtp:AcquireTimeout", "00:00:07"), ("Resilience:Pools:Default:MaxWaiters", "77"));
        var pool = services.GetRequiredKeyedService<ResourcePool<Resource>>("smtp");
        Assert.Equal((3, TimeSpan.FromSeconds(7), 77), (pool.Options.MaxSize, pool.Options.AcquireTimeout, pool.Options.MaxWaiters));
        Assert.Same(pool, Assert.Single(services.GetServices<IResourcePool>()));
    }

    [Fact]
    public async Task AddResourcePool_Twice_IsOnePool()
    {
        await using ServiceProvider services = Build(all =>
        {
            all.AddResourcePool<Resource>("a", _ => _factory);
            all.AddResourcePool<Resource>("a", _ => _factory);
            all.AddResourcePool<Resource>(_ => _factory);
        });
        Assert.Equal(2, services.GetServices<IResourcePool>().Count());
        Assert.Equal(2, (await services.GetRequiredService<HealthCheckService>().CheckHealthAsync()).Entries.Count);
        Assert.Same(services.GetRequiredService<ResourcePool<Resource>>(), services.GetRequiredKeyedService<ResourcePool<Resource>>(""));
    }

    [Fact]
    public async Task Host_WrongSetting_StopsTheStartWithItsPath()
    {
        await using ServiceProvider services = Build(all => all.AddResourcePool<Resource>("smtp", _ => _factory), ("Resilience:Pools:smtp:MaxSize", "0"), ("Resilience:Pools:smtp:MaxSise", "3"));
        SettingsException exception = await Assert.ThrowsAsync<SettingsException>(async () =>
        {
            foreach (IHostedLifecycleService service in services.GetServices<IHostedService>().OfType<IHostedLifecycleService>())
            {
                await service.StartingAsync(default);
            }
        });
        Assert.Equal(["Resilience:Pools:smtp:MaxSise", "Resilience:Pools:smtp:MaxSize"], exception.Errors.Select(error => error.Path).Order());
    }

    [Fact]
    public async Task Host_StartAndStop_CreatesNothingBeforeAndDrainsWritersBeforePools()
    {
        var written = new List<int>();
        await using ServiceProvider services = Build(all =>
        {
            // Registered first, so a stop in reverse order would drain the pool before the writer that needs it.
            all.AddBatchWriter<int>("audit", provider => async (batch, token) =>
            {
                await using PoolLease<Resource> lease = await provider.GetRequiredKeyedService<ResourcePool<Resource>>("db").AcquireAsync(token);
                written.AddRange(batch);
            });
            all.AddResourcePool<Resource>("db", _ => _factory);
        }, ("Resilience:Pools:db:MinIdle", "2"), ("Resilience:Pools:db:WarmUp", "true"));
        var pool = services.GetRequiredKeyedService<ResourcePool<Resource>>("db");
        var writer = services.GetRequiredKeyedService<BatchWriter<int>>("audit");
        Assert.Equal(0, _factory.Attempts);
        IHostedService host = Assert.Single(services.GetServices<IHostedService>(), service => service is PoolsHost);
        await host.StartAsync(default);
        Assert.Equal(2, pool.Snapshot().Idle);
        await writer.WriteAsync(1);
        await ((IHostedLifecycleService)host).StoppedAsync(default);
        Assert.Equal([1], written);
        Assert.True(pool.Snapshot().IsClosed);
        Assert.Equal(0, _factory.Alive);
    }

    [Fact]
    public async Task Reload_NewSize_IsInForce()
    {
        await using ServiceProvider services = Build(all => all.AddResourcePool<Resource>("db", _ => _factory), ("Resilience:Pools:db:MaxSize", "4"));
        var pool = services.GetRequiredKeyedService<ResourcePool<Resource>>("db");
        var watcher = services.GetServices<IHostedService>().OfType<IHostedLifecycleService>().ToArray();
        foreach (IHostedLifecycleService service in watcher)
        {
            await service.StartingAsync(default);
        }

        IConfigurationRoot root = (IConfigurationRoot)services.GetRequiredService<IConfiguration>();
        root["Resilience:Pools:db:MaxSize"] = "9";
        root.Reload();
        await Eventually.TrueAsync(() => pool.Snapshot().Limit == 9, "the reload");
    }

    [Fact]
    public async Task Reload_KeyedPool_FeatureAndSizePerKeyAreInForce()
    {
        await using ServiceProvider services = Build(all => all.AddKeyedResourcePool<string, Resource>("smtp", _ => _ => _factory), ("Resilience:Pools:smtp:MaxSize", "4"));
        var pool = services.GetRequiredKeyedService<KeyedResourcePool<string, Resource>>("smtp");
        (await pool.AcquireAsync("a")).Dispose();
        Assert.Null(pool.Feature);
        foreach (IHostedLifecycleService service in services.GetServices<IHostedService>().OfType<IHostedLifecycleService>())
        {
            await service.StartingAsync(default);
        }

        IConfigurationRoot root = (IConfigurationRoot)services.GetRequiredService<IConfiguration>();
        root["Resilience:Pools:smtp:MaxSize"] = "9";
        root["Resilience:Pools:smtp:Feature"] = "mail";
        root.Reload();
        await Eventually.TrueAsync(() => pool.Feature == "mail" && pool.Snapshot("a")!.Limit == 9, "the reload");

        // What gives way does so for the keys that are there and for those to come.
        pool.YieldsToPriority = true;
        (await pool.AcquireAsync("b")).Dispose();
        Assert.Equal(9, pool.Snapshot("b")!.Limit);
    }

    [Fact]
    public async Task Health_DownLeakAndWaiting_AreTold()
    {
        var time = new ManualTimeProvider();
        var pool = new ResourcePool<Resource>("db", _factory, new PoolOptions { MaxSize = 1, BreakAfter = 1, LeakThreshold = TimeSpan.FromSeconds(5), AcquireTimeout = TimeSpan.FromMinutes(5) }, time);
        var check = new PoolHealthCheck(pool, () => TimeSpan.FromSeconds(5));
        var context = new HealthCheckContext { Registration = new HealthCheckRegistration("pool:db", check, null, null) };
        Assert.Equal(HealthStatus.Healthy, (await check.CheckHealthAsync(context)).Status);
        PoolLease<Resource> lease = await pool.AcquireAsync();
        Task<PoolLease<Resource>>[] waiting = [pool.AcquireAsync().AsTask(), pool.AcquireAsync().AsTask()];
        Assert.Equal(HealthStatus.Degraded, (await check.CheckHealthAsync(context)).Status);
        time.Advance(TimeSpan.FromSeconds(6));
        Assert.Contains("leak threshold", (await check.CheckHealthAsync(context)).Description, StringComparison.Ordinal);
        _factory.OnCreate = static _ => throw new IOException();
        lease.Invalidate();
        lease.Dispose();
        await Assert.ThrowsAsync<PoolUnavailableException>(() => waiting[0]);
        await Assert.ThrowsAsync<PoolUnavailableException>(() => waiting[1]);
        Assert.Equal(HealthStatus.Unhealthy, (await check.CheckHealthAsync(context)).Status);
    }

    [Fact]
    public async Task Health_LeakWasReclaimed_IsRememberedForAWhile()
    {
        var time = new ManualTimeProvider();
        var pool = new ResourcePool<Resource>("db", _factory, new PoolOptions { MaxSize = 1, LeakThreshold = TimeSpan.FromSeconds(5), LeakAction = LeakAction.Reclaim }, time);
        var check = new PoolHealthCheck(pool, () => TimeSpan.FromSeconds(5));
        var context = new HealthCheckContext { Registration = new HealthCheckRegistration("pool:db", check, null, null) };
        await pool.AcquireAsync();
        time.Advance(TimeSpan.FromSeconds(6));
        Assert.Equal(1, pool.Snapshot().Reclaims);
        HealthCheckResult result = await check.CheckHealthAsync(context);
        Assert.Equal(HealthStatus.Degraded, result.Status);
        Assert.Contains("A leak was seen", result.Description, StringComparison.Ordinal);
        time.Advance(TimeSpan.FromMinutes(6));
        Assert.Equal(HealthStatus.Healthy, (await check.CheckHealthAsync(context)).Status);
    }

    [Fact]
    public async Task Host_OutOfPatience_StopsWithoutAnException()
    {
        var abandoned = new List<int>();
        await using ServiceProvider services = Build(all =>
        {
            all.AddBatchWriter<int>("audit", _ => static (_, _) => new ValueTask(new TaskCompletionSource().Task), _ => (batch, _) => abandoned.AddRange(batch), options => options.MaxBatch = 1);
            all.AddResourcePool<Resource>("db", _ => _factory);
            all.AddKeyedResourcePool<string, Resource>("tenants", _ => _ => _factory);
        });
        PoolLease<Resource> kept = await services.GetRequiredKeyedService<ResourcePool<Resource>>("db").AcquireAsync();
        PoolLease<Resource> tenants = await services.GetRequiredKeyedService<KeyedResourcePool<string, Resource>>("tenants").AcquireAsync("a");
        await services.GetRequiredKeyedService<BatchWriter<int>>("audit").WriteAsync(7);
        IHostedService host = Assert.Single(services.GetServices<IHostedService>(), service => service is PoolsHost);
        await ((IHostedLifecycleService)host).StoppedAsync(new CancellationToken(canceled: true)).WaitAsync(TimeSpan.FromMinutes(1));
        Assert.Equal([7], abandoned);
        Assert.False(kept.IsValid || tenants.IsValid);
    }

    [Fact]
    public async Task AddKeyedResourcePool_Configured_ReadsDefaultsAndHasAHealthCheckThatOnlyDegrades()
    {
        var failing = new Factory { OnCreate = static _ => throw new IOException() };
        await using ServiceProvider services = Build(all => all.AddKeyedResourcePool<string, Resource>("smtp", _ => key => key == "down" ? failing : _factory), ("Resilience:Pools:Default:BreakAfter", "1"), ("Resilience:Pools:smtp:MaxSize", "1"));
        var pool = services.GetRequiredKeyedService<KeyedResourcePool<string, Resource>>("smtp");
        await Assert.ThrowsAsync<PoolUnavailableException>(async () => await pool.AcquireAsync("down"));
        using PoolLease<Resource> lease = await pool.AcquireAsync("up");
        Assert.Equal(1, pool.Snapshot("up")!.MaxSize);
        HealthReport report = await services.GetRequiredService<HealthCheckService>().CheckHealthAsync();
        Assert.Equal(HealthStatus.Degraded, report.Entries["pool:smtp"].Status);
    }

    [Fact]
    public async Task AddPooledDbDataSource_ByName_IsADbDataSource()
    {
        await using ServiceProvider services = Build(all => all.AddPooledDbDataSource("shop", _ => () => new Npgsql.NpgsqlConnection("Host=nowhere;Pooling=false")));
        var source = services.GetRequiredKeyedService<DbDataSource>("shop");
        Assert.Same(source, services.GetRequiredKeyedService<PooledDbDataSource>("shop"));
        Assert.Same(services.GetRequiredKeyedService<ResourcePool<DbConnection>>("shop"), services.GetRequiredKeyedService<PooledDbDataSource>("shop").Pool);
    }

    [Fact]
    public void Provider_DisposedSynchronously_DoesNotThrow()
    {
        ServiceProvider services = Build(all =>
        {
            all.AddResourcePool<Resource>("db", _ => _factory);
            all.AddBatchWriter<int>("audit", _ => (_, _) => default);
        });
        services.GetRequiredKeyedService<ResourcePool<Resource>>("db");
        services.GetRequiredKeyedService<BatchWriter<int>>("audit");
        services.Dispose();
    }
}
