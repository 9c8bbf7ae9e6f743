using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching;
using Resilience.Context;
using Resilience.Degrade;
using Resilience.Pools;
using Resilience.TestKit;

namespace Resilience.Integration.Tests.Dashboard;

/// <summary>A shop in a bad quarter of an hour, on a clock that the test moves: memory grows, the pool of orders is exhausted, one cache has lost its shared tier.</summary>
internal sealed class BusyShop : IAsyncDisposable
{
    private static readonly Feature[] Features =
    [
        Feature.Declare("shop-checkout", Priority.Critical),
        Feature.Declare("shop-search"),
        Feature.Declare("shop-recommendations", Priority.Low),
        Feature.Declare("shop-reviews", Priority.Low),
        Feature.Declare("shop-price-history", Priority.Bulk),
        Feature.Declare("shop-fraud-check", Priority.Critical, securityCritical: true),
    ];

    private readonly List<PoolLease<object>> _leases = [];
    private readonly List<Task<PoolLease<object>>> _waiting = [];
    private readonly FlakyDistributedCache _store = new();
    private double _seconds;
    private int _samples;

    private BusyShop()
    {
    }

    public DashboardSite Site { get; private set; } = null!;

    public static async Task<BusyShop> StartAsync()
    {
        var shop = new BusyShop();
        shop.Site = await DashboardSite.StartAsync(caches: 0, builder =>
        {
            builder.Configuration["Resilience:Degrade:Pressure:SampleInterval"] = "00:00:00.010";
            builder.Configuration["Resilience:Degrade:Pressure:Memory:ExitFor"] = "00:30:00";
            builder.Configuration["Resilience:Caches:reviews:Feature"] = "shop-reviews";
            foreach (Feature feature in Features)
            {
                builder.Services.AddDegradation().AddFeature(feature);
            }

            builder.Services.AddDegradation().AddAdmission()
                .AddSignal("memory", _ => shop.Memory)
                .AddSignal("cpu", _ => shop.Cpu)
                .AddSignal("pool:orders", _ => shop.OrdersPressure);
            builder.Services.AddResilientCache("products").UseDistributedCache(_ => shop._store);
            builder.Services.AddResilientCache("reviews");
            builder.Services.AddResilientCache("sessions");
            builder.Services.Configure<PoolOptions>("orders", static options =>
            {
                options.AcquireTimeout = TimeSpan.FromHours(1);
                options.LeakThreshold = TimeSpan.FromHours(1);
            });
            builder.Services.AddResourcePool<object>("smtp", static (_, _) => new ValueTask<object>(new object())).Configure(static options => options.LeakThreshold = TimeSpan.FromHours(1));
        }, app =>
        {
            app.UseAdmission();
            app.MapGet("/checkout", () => "ok").WithPriority(Priority.Critical);
            app.MapGet("/search", () => "ok");
        });
        return shop;
    }

    /// <summary>Five minutes of it.</summary>
    public async Task LiveAsync()
    {
        ResourcePool<object> smtp = Site.Pool("smtp");
        _leases.Add(await smtp.AcquireAsync());
        await Site.Degradation.OverrideAsync(DashboardSite.Comments, FeatureState.Off, "spam wave, ticket 4711", "mira", TimeSpan.FromMinutes(45));
        for (int second = 0; second < 300; second++)
        {
            _seconds = second;
            if (second is 240 or 243 or 247 or 250)
            {
                _leases.Add(await Site.Orders.AcquireAsync(new PoolRequest { Tag = "place order" }));
            }

            if (second is 255 or 258 or 270)
            {
                _waiting.Add(Site.Orders.AcquireAsync().AsTask());
            }

            _store.IsBroken = second > 285;
            await ServeAsync(second);
            Site.Clock.Advance(TimeSpan.FromSeconds(1));
            int samples = Volatile.Read(ref _samples);
            await Eventually.TrueAsync(() => Volatile.Read(ref _samples) != samples, "a sample of the pressure in each second");
        }

        _seconds = 300;
        Site.Cache("reviews").ServesStaleFirst = true;
        Site.Tick();
    }

    public async ValueTask DisposeAsync()
    {
        // The pool drains when the site stops, and on a clock that stands it would wait for these for ever.
        foreach (PoolLease<object> lease in _leases)
        {
            await lease.DisposeAsync();
        }

        foreach (Task<PoolLease<object>> waiting in _waiting)
        {
            try
            {
                await (await waiting).DisposeAsync();
            }
            catch (PoolExhaustedException)
            {
                // It waited longer than one may.
            }
        }

        await Site.DisposeAsync();
    }

    private async Task ServeAsync(int second)
    {
        if (second % 10 < 7)
        {
            using HttpResponseMessage _ = await Site.Client.GetAsync(new Uri(second % 3 == 0 ? "/checkout" : "/search", UriKind.Relative));
        }

        await ReadAsync("products", 40 + (int)(12 * Math.Sin(second / 20.0)), second, 24);
        await ReadAsync("sessions", 25, second, 6);
        await ReadAsync("reviews", 9, second, 3);
    }

    private async Task ReadAsync(string cache, int reads, int second, int keys)
    {
        for (int i = 0; i < reads; i++)
        {
            int key = i % 8 == 0 ? (second * 7) + (i % keys) : i % keys;
            await Site.Cache(cache).GetOrCreateAsync($"key-{key}", key, static (key, _) => ValueTask.FromResult(key));
        }
    }

    private double Memory()
    {
        Interlocked.Increment(ref _samples);
        return Math.Min(0.905, 0.46 + (_seconds * 0.00165) + (0.006 * Math.Sin(_seconds / 3)));
    }

    private double Cpu() => 0.38 + (0.14 * Math.Sin(_seconds / 23)) + (0.05 * Math.Sin(_seconds / 3.7)) + (_seconds > 240 ? 0.12 : 0);

    private double OrdersPressure() => _seconds < 240 ? 0.18 + (0.06 * Math.Sin(_seconds / 11)) : Math.Min(0.93, 0.3 + ((_seconds - 240) * 0.02));
}
