using System.Net.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Resilience.Caching.Guard;
using Resilience.Pools;
using Resilience.TestKit;

namespace Resilience.Hosting.Tests.Health;

public sealed class KitHealthTests(SharedRedis shared)
{
    [Fact]
    public async Task Checks_OfTheKit_AreOneForEachPartWithTags()
    {
        await using KitHost kit = await KitHost.StartAsync(AddParts);

        HealthCheckRegistration[] registrations = [.. kit.Services.GetRequiredService<Microsoft.Extensions.Options.IOptions<HealthCheckServiceOptions>>().Value.Registrations];

        Assert.Equal(
            ["cache:Default", "cache:products", "guard:products", "pool:orders", "resilience-pressure", "resilience-settings"],
            registrations.Select(registration => registration.Name).Order(StringComparer.Ordinal));
        Assert.Equal(["resilience-pressure"], registrations.Where(registration => registration.Tags.Contains("live")).Select(registration => registration.Name));
        Assert.All(registrations, registration => Assert.Contains("ready", registration.Tags));
    }

    [Fact]
    public async Task Checks_AddedTwice_AreThereOnce()
    {
        await using KitHost kit = await KitHost.StartAsync(kit =>
        {
            AddParts(kit);
            kit.Services.AddResilienceKit(kit.Configuration, AddParts);
        });

        HealthReport report = await kit.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync(TestContext.Current.CancellationToken);

        Assert.Equal(6, report.Entries.Count);
    }

    [Fact]
    public async Task Redis_Away_NeitherFailsLivenessNorReadiness()
    {
        await using KitHost kit = await KitHost.StartAsync(AddParts, null, ("Resilience:Redis:Configuration", $"127.0.0.1:{ClosedPort()}"), ("Resilience:Redis:ConnectTimeout", "00:00:00.200"));

        HealthReport live = await CheckAsync(kit, "live");
        HealthReport ready = await CheckAsync(kit, "ready");

        Assert.DoesNotContain("resilience-redis", live.Entries.Keys);
        Assert.NotEqual(HealthStatus.Unhealthy, live.Status);
        Assert.Equal(HealthStatus.Degraded, ready.Entries["resilience-redis"].Status);
        Assert.NotEqual(HealthStatus.Unhealthy, ready.Status);
        Assert.DoesNotContain("127.0.0.1", ready.Entries["resilience-redis"].Description, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Redis_Stalls_IsFoundOutAndIsHealthyAfterwards()
    {
        RedisServer redis = await shared.GetAsync();
        await using ChaosProxy proxy = ChaosProxy.Start(redis);
        await using KitHost kit = await KitHost.StartAsync(AddParts, null, ("Resilience:Redis:Configuration", $"{proxy.Endpoint}"), ("Resilience:Redis:KeyPrefix", "health:"));
        await UntilAsync(kit, HealthStatus.Healthy);

        proxy.ToClient.Stalled = true;
        await UntilAsync(kit, HealthStatus.Degraded);

        proxy.Heal();
        await UntilAsync(kit, HealthStatus.Healthy);

        static Task UntilAsync(KitHost kit, HealthStatus expected) =>
            Eventually.TrueAsync(async () => (await CheckAsync(kit, "ready")).Entries["resilience-redis"].Status == expected, $"Redis is {expected}");
    }

    [Fact]
    public async Task Pool_BackendDown_FailsReadinessAndNotLiveness()
    {
        await using KitHost kit = await KitHost.StartAsync(
            kit => kit.AddPool("orders", _ => new ResourceFactory<object>(_ => throw new TimeoutException("down"))),
            null,
            ("Resilience:Pools:orders:BreakAfter", "1"));
        await Assert.ThrowsAsync<PoolUnavailableException>(() => kit.Pool<object>("orders").AcquireAsync(TestContext.Current.CancellationToken).AsTask());

        Assert.Equal(HealthStatus.Unhealthy, (await CheckAsync(kit, "ready")).Entries["pool:orders"].Status);
        Assert.NotEqual(HealthStatus.Unhealthy, (await CheckAsync(kit, "live")).Status);
    }

    private static void AddParts(IResilienceKitBuilder kit)
    {
        kit.AddCache("products").AddPool("orders", _ => new ResourceFactory<object>(_ => new ValueTask<object>(new object())));
        kit.Services.AddBloomGuard("products", static _ => new NoKeys());
    }

    private static Task<HealthReport> CheckAsync(KitHost kit, string tag) =>
        kit.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync(registration => registration.Tags.Contains(tag));

    private static int ClosedPort()
    {
        using var listener = new TcpListener(System.Net.IPAddress.Loopback, 0);
        listener.Start();
        return ((System.Net.IPEndPoint)listener.LocalEndpoint).Port;
    }

    private sealed class NoKeys : IGuardSource
    {
        public async IAsyncEnumerable<string> ReadKeysAsync([System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
        {
            await Task.CompletedTask;
            yield break;
        }
    }
}
