using Microsoft.Extensions.DependencyInjection;
using Resilience.Context;
using Resilience.Degrade;
using Resilience.Hosting.Wiring;
using Resilience.Pools;
using Resilience.TestKit;

namespace Resilience.Hosting.Tests.Wiring;

/// <summary>What presses within the kit degrades features, those that matter least first.</summary>
public sealed class PressureWiringTests
{
    private static readonly Feature Bulk = Feature.Declare("pressed-bulk", Priority.Bulk);
    private static readonly Feature Low = Feature.Declare("pressed-low", Priority.Low);
    private static readonly Feature Normal = Feature.Declare("pressed-normal");
    private static readonly Feature Critical = Feature.Declare("pressed-critical", Priority.Critical);

    private static readonly (string, string)[] QuickBlocks =
    [
        ("Resilience:Degrade:MaxAutomaticOff", "1000"),
        ("Resilience:Degrade:Pressure:SampleInterval", "00:00:00.010"),
        .. Quick("pool.orders"),
        .. Quick("breaker.products"),
    ];

    [Theory]
    [InlineData(10, 0, 10, PoolBackendState.Up, 0.7)]
    [InlineData(5, 0, 10, PoolBackendState.Up, 0.35)]
    [InlineData(10, 4, 10, PoolBackendState.Up, 0.82)]
    [InlineData(10, 10, 10, PoolBackendState.Up, 1)]
    [InlineData(10, 5_000, 10, PoolBackendState.Up, 1)]
    [InlineData(12, 0, 10, PoolBackendState.Up, 0.7)]
    [InlineData(0, 0, 10, PoolBackendState.Failing, 0)]
    [InlineData(0, 0, 10, PoolBackendState.Down, BlockSignals.Away)]
    [InlineData(0, 0, 0, PoolBackendState.Up, 0)]
    public void Saturation_Pool_IsAShareThatWaitersRaise(int leased, int waiting, int limit, PoolBackendState backend, double expected) =>
        Assert.Equal(expected, BlockSignals.Saturation(new PoolOccupancy(leased, waiting, limit, backend)), 3);

    [Fact]
    public async Task Pool_CallersWait_FeaturesGiveWayByPriorityAndComeBack()
    {
        await using KitHost kit = await KitHost.StartAsync(AddOrders, null, [.. QuickBlocks, ("Resilience:Pools:orders:MaxSize", "2"), ("Resilience:Pools:orders:AcquireTimeout", "Infinite")]);
        ResourcePool<object> pool = kit.Pool<object>("orders");
        PressureMonitor monitor = kit.Services.GetRequiredService<PressureMonitor>();
        var leases = new List<PoolLease<object>> { await AcquireAsync(pool), await AcquireAsync(pool) };
        await Eventually.TrueAsync(() => monitor.Values.Any(value => value is { Signal: "pool:orders", Value: > 0.69 }), "the signal of the pool is read");
        Assert.Equal(FeatureState.Normal, kit.Degradation.StateOf(Low));

        Task<PoolLease<object>> first = AcquireAsync(pool).AsTask();
        await Eventually.TrueAsync(() => kit.Degradation.StateOf(Low) == FeatureState.Degraded, "a waiting caller degrades what matters little");
        Assert.Equal(FeatureState.Off, kit.Degradation.StateOf(Bulk));
        Assert.Equal(FeatureState.Normal, kit.Degradation.StateOf(Normal));
        Assert.Contains("pool:orders is Elevated", kit.Degradation.Decide(Low).Reason, StringComparison.Ordinal);

        Task<PoolLease<object>> second = AcquireAsync(pool).AsTask();
        await Eventually.TrueAsync(() => kit.Degradation.StateOf(Normal) == FeatureState.Off, "as many as there are places switch off what is normal");
        Assert.Equal(FeatureState.Off, kit.Degradation.StateOf(Low));
        Assert.Equal(FeatureState.Normal, kit.Degradation.StateOf(Critical));

        leases.ForEach(lease => lease.Dispose());
        (await first).Dispose();
        (await second).Dispose();
        await Eventually.TrueAsync(() => Feature.All.All(feature => kit.Degradation.StateOf(feature) == feature.Default), "all is back");
    }

    [Fact]
    public async Task Pool_SignalOfTriggersOnly_DegradesThoseThatNameIt()
    {
        await using KitHost kit = await KitHost.StartAsync(
            AddOrders,
            null,
            [
                .. QuickBlocks,
                ("Resilience:Pools:orders:MaxSize", "1"),
                ("Resilience:Pools:orders:AcquireTimeout", "Infinite"),
                ("Resilience:Degrade:Pressure:Signals:pool.orders:PressesAll", "false"),
                ("Resilience:Degrade:Features:pressed-normal:Triggers:0", "pool:orders"),
            ]);
        ResourcePool<object> pool = kit.Pool<object>("orders");
        PoolLease<object> lease = await AcquireAsync(pool);
        Task<PoolLease<object>> waiting = AcquireAsync(pool).AsTask();

        await Eventually.TrueAsync(() => kit.Degradation.StateOf(Normal) == FeatureState.Off, "the feature that names the pool is off");
        Assert.Equal(FeatureState.Normal, kit.Degradation.StateOf(Low));
        Assert.Equal(PressureLevel.Normal, kit.Services.GetRequiredService<PressureMonitor>().Level);

        lease.Dispose();
        (await waiting).Dispose();
    }

    [Fact]
    public async Task SharedTier_BreakerOpens_PressesUntilItIsBack()
    {
        var store = new FlakyDistributedCache();
        await using KitHost kit = await KitHost.StartAsync(
            kit =>
            {
                kit.AddCache("products");
                kit.Services.AddResilientCache("products").UseDistributedCache(_ => store);
            },
            null,
            [.. QuickBlocks, ("Resilience:Caches:products:Shared:Breaker:OpenFor", "00:00:00.050")]);
        Assert.Contains(kit.Services.GetRequiredService<PressureMonitor>().Values, value => value.Signal == "breaker:products");
        Assert.DoesNotContain(kit.Services.GetRequiredService<PressureMonitor>().Values, value => value.Signal == "breaker:Default");

        store.IsBroken = true;
        await LoadUntilAsync(() => kit.Degradation.StateOf(Low) == FeatureState.Degraded, "the open breaker presses");
        Assert.Equal(FeatureState.Normal, kit.Degradation.StateOf(Normal));

        store.IsBroken = false;
        await LoadUntilAsync(() => kit.Degradation.StateOf(Low) == FeatureState.Normal, "the closed breaker does not");

        async Task LoadUntilAsync(Func<bool> condition, string what)
        {
            int key = 0;
            await Eventually.TrueAsync(
                () =>
                {
                    _ = kit.Cache("products").GetOrCreateAsync($"{what}-{key++}", 0, static (_, _) => ValueTask.FromResult(1)).AsTask();
                    return condition();
                },
                what);
            await Task.CompletedTask;
        }
    }

    [Fact]
    public async Task Signals_OfTheSystem_AreWatchedToo()
    {
        await using KitHost kit = await KitHost.StartAsync(AddOrders);

        Assert.Equal(
            ["cpu", "memory", "pool:orders", "threadpool"],
            kit.Services.GetRequiredService<PressureMonitor>().Values.Select(value => value.Signal).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Occupancy_Reading_AllocatesNothing()
    {
        await using KitHost kit = await KitHost.StartAsync(AddOrders);
        IResourcePool pool = kit.Pool<object>("orders");
        using PoolLease<object> lease = await AcquireAsync(kit.Pool<object>("orders"));

        TestKit.AllocationAssert.AtMost(bytes: 0, () => _ = BlockSignals.Saturation(pool.Occupancy));
        Assert.Equal(new PoolOccupancy(1, 0, 20, PoolBackendState.Up), pool.Occupancy);
    }

    private static void AddOrders(IResilienceKitBuilder kit) => kit.AddPool("orders", _ => new ResourceFactory<object>(_ => new ValueTask<object>(new object())));

    private static ValueTask<PoolLease<object>> AcquireAsync(ResourcePool<object> pool) => pool.AcquireAsync(TestContext.Current.CancellationToken);

    private static (string, string)[] Quick(string signal) =>
    [
        ($"Resilience:Degrade:Pressure:Signals:{signal}:EnterFor", "00:00:00"),
        ($"Resilience:Degrade:Pressure:Signals:{signal}:ExitFor", "00:00:00"),
    ];
}
