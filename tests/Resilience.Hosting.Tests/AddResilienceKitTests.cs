using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.TestHost;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Resilience.Context;
using Resilience.Degrade;
using Resilience.Pools;
using Resilience.Settings;
using Resilience.TestKit;

namespace Resilience.Hosting.Tests;

public sealed class AddResilienceKitTests
{
    private static readonly Feature Comments = Feature.Declare("hosting-comments", Priority.Low);

    [Fact]
    public async Task Start_SettingsOfSeveralBlocksWrong_ThrowsOnceWithEveryPathValueAndLimit()
    {
        using IHost host = Build(
            kit => AddThings(kit),
            ("Resilience:Pools:things:MaxSize", "0"),
            ("Resilience:Caches:products:Expiraton", "00:30:00"),
            ("Resilience:Caches:Default:Jitter", "7"),
            ("Resilience:Pools:thigns:MaxSize", "5"),
            ("Resilience:Cahces:products:Expiration", "00:30:00"));

        SettingsException exception = await Assert.ThrowsAsync<SettingsException>(() => host.StartAsync());

        Assert.Equal(
            [
                "Resilience:Caches:Default:Jitter",
                "Resilience:Caches:products:Expiraton",
                "Resilience:Cahces",
                "Resilience:Pools:thigns",
                "Resilience:Pools:things:MaxSize",
            ],
            exception.Errors.Select(error => error.Path).Distinct().Order(StringComparer.Ordinal));
        Assert.Contains("Resilience:Pools:things:MaxSize = '0': must be from 1 to", exception.Message, StringComparison.Ordinal);
        Assert.Contains("did you mean 'Expiration'?", exception.Message, StringComparison.Ordinal);
        Assert.Contains("did you mean 'Caches'?", exception.Message, StringComparison.Ordinal);
        Assert.Contains("did you mean 'things'?", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Start_Twice_IsHarmless()
    {
        HostApplicationBuilder builder = Builder();
        builder.AddResilienceKit(kit => AddThings(kit));
        builder.AddResilienceKit(kit => AddThings(kit));
        using IHost host = builder.Build();

        await host.StartAsync();

        Assert.Single(host.Services.GetServices<HybridCache>());
        Assert.NotNull(host.Services.GetRequiredKeyedService<ResourcePool<Thing>>("things"));
        await host.StopAsync();
    }

    [Fact]
    public async Task Caches_NamedInConfiguration_AreKeyedHybridCaches()
    {
        using IHost host = Build(_ => { }, ("Resilience:Caches:products:Expiration", "00:30:00"));
        await host.StartAsync();

        Assert.NotNull(host.Services.GetRequiredKeyedService<HybridCache>("products"));
        Assert.NotNull(host.Services.GetRequiredService<HybridCache>());
        await host.StopAsync();
    }

    [Theory]
    [InlineData("Resilience:Caches:pr}oducts:Expiration", "Resilience:Caches:pr}oducts")]
    [InlineData("Resilience:Caches: :Expiration", "Resilience:Caches: ")]
    public async Task Start_NameThatCannotBeOne_IsAnErrorWithItsPath(string key, string path)
    {
        using IHost host = Build(_ => { }, (key, "10"));

        SettingsException exception = await Assert.ThrowsAsync<SettingsException>(() => host.StartAsync());

        SettingsError error = Assert.Single(exception.Errors);
        Assert.Equal(path, error.Path);
        Assert.Contains("is no name", error.Problem, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Kit_SettingsInCode_HoldWhereTheConfigurationSaysNothing()
    {
        await using KitHost kit = await KitHost.StartAsync(
            kit => kit
                .AddCache("products", options => options.Expiration = TimeSpan.FromSeconds(7))
                .AddPool<object>("others", static (_, _) => new ValueTask<object>(new object()), options => (options.MaxSize, options.MinIdle) = (7, 2)),
            null,
            ("Resilience:Pools:others:MaxSize", "9"));

        Assert.Equal(TimeSpan.FromSeconds(7), kit.Services.GetRequiredKeyedService<LiveSettings<Caching.CacheOptions>>("products").Current.Expiration);
        Assert.Equal((9, 2), (kit.Pool<object>("others").Snapshot().MaxSize, kit.Pool<object>("others").Snapshot().MinIdle));
    }

    [Fact]
    public async Task Build_NothingIsStartedBeforeTheHost()
    {
        // What stands for Redis sees who comes, the pool what is made, and the monitor's thread shows by its samples.
        using var redis = new TcpListener(IPAddress.Loopback, 0);
        redis.Start();
        var clock = new ManualTimeProvider();
        int samples = 0;
        HostApplicationBuilder builder = Builder(
            ("Resilience:Redis:Configuration", $"{redis.LocalEndpoint},abortConnect=false,connectTimeout=1000"),
            ("Resilience:Pools:made:MinIdle", "1"),
            ("Resilience:Degrade:Pressure:SampleInterval", "00:00:00.010"));
        builder.Services.AddSingleton<TimeProvider>(clock);
        int made = 0;
        builder.AddResilienceKit(kit => kit.AddPool("made", _ => new ResourceFactory<object>(_ =>
        {
            Interlocked.Increment(ref made);
            return new ValueTask<object>(new object());
        })));
        builder.Services.AddDegradation().AddSignal("probe", _ => () => Interlocked.Increment(ref samples));
        using IHost host = builder.Build();

        Assert.NotNull(host.Services.GetRequiredService<HybridCache>());
        Assert.NotNull(host.Services.GetRequiredKeyedService<ResourcePool<object>>("made"));
        Assert.NotNull(host.Services.GetRequiredService<IDegradation>());
        await Task.Delay(200, TestContext.Current.CancellationToken); // what runs by mistake has time to show; what does not cannot fail
        Assert.Equal((0, 0, false), (Volatile.Read(ref made), Volatile.Read(ref samples), redis.Pending()));

        // The positive control: all of it happens once the host starts.
        await host.StartAsync(TestContext.Current.CancellationToken);
        await Eventually.TrueAsync(() => redis.Pending() && Volatile.Read(ref made) == 1 && Volatile.Read(ref samples) > 0, "the host starts what the kit has");
        Task stop = host.StopAsync(TestContext.Current.CancellationToken);
        await clock.AdvanceUntilAsync(TimeSpan.FromSeconds(1), () => stop.IsCompleted, "the host stops");
        await stop;
    }

    [Fact]
    public async Task Health_ReloadRejected_IsDegradedUntilItIsTakenBack()
    {
        using IHost host = Build(kit => kit.AddFeature(Comments), ("Resilience:Context:DefaultTimeout", "00:00:10"));
        await host.StartAsync();
        HealthCheckService health = host.Services.GetRequiredService<HealthCheckService>();
        Assert.Equal(HealthStatus.Healthy, await StatusAsync());

        await ChangeAsync("00:00:-1", HealthStatus.Degraded);
        await ChangeAsync("00:00:11", HealthStatus.Healthy);
        await host.StopAsync();

        async Task<HealthStatus> StatusAsync() =>
            (await health.CheckHealthAsync(registration => registration.Name == "resilience-settings")).Status;

        async Task ChangeAsync(string timeout, HealthStatus expected)
        {
            IConfigurationRoot root = (IConfigurationRoot)host.Services.GetRequiredService<IConfiguration>();
            root["Resilience:Context:DefaultTimeout"] = timeout;
            root.Reload();
            await Eventually.TrueAsync(async () => await StatusAsync() == expected, $"{timeout} makes the settings {expected}");
        }
    }

    [Fact]
    public async Task UseResilienceKit_Request_HasAScopeWithTheConfiguredDeadline()
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseTestServer();
        builder.Services.AddRouting();
        builder.Configuration["Resilience:Context:DefaultTimeout"] = "00:00:07";
        builder.AddResilienceKit();
        await using WebApplication app = builder.Build();
        app.UseRouting();
        app.UseResilienceKit();
        app.MapGet("/left", () => RequestScope.Current?.Deadline.Remaining.TotalSeconds ?? -1);
        await app.StartAsync();

        double left = double.Parse(await app.GetTestClient().GetStringAsync(new Uri("/left", UriKind.Relative)), System.Globalization.CultureInfo.InvariantCulture);

        Assert.InRange(left, 0.001, 7);
        await app.StopAsync();
    }

    private static IResilienceKitBuilder AddThings(IResilienceKitBuilder kit) =>
        kit.AddPool("things", _ => new ResourceFactory<Thing>(_ => new ValueTask<Thing>(new Thing())));

    private static IHost Build(Action<IResilienceKitBuilder> configure, params (string Key, string Value)[] settings)
    {
        HostApplicationBuilder builder = Builder(settings);
        builder.AddResilienceKit(configure);
        return builder.Build();
    }

    private static HostApplicationBuilder Builder(params (string Key, string Value)[] settings)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { Args = [] });
        builder.Configuration.AddInMemoryCollection(settings.Select(pair => KeyValuePair.Create(pair.Key, (string?)pair.Value)));
        return builder;
    }

    private sealed class Thing;
}
