using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Threading.RateLimiting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Resilience.Caching;
using Resilience.Caching.Guard;
using Resilience.Context;
using Resilience.Degrade;
using Resilience.Pools;
using Resilience.TestKit;

namespace Resilience.Integration.Tests.Ops;

/// <summary>
/// What a service with the kit has measured in a bad hour: every metric as Prometheus sees it, with the labels and values that came with it. Nothing is
/// listed by hand; what no code measured is not here.
/// </summary>
public sealed class EmittedMetrics : IAsyncLifetime
{
    private static readonly string[] HistogramParts = ["_bucket", "_sum", "_count"];
    private static readonly Feature Reviews = Feature.Declare("ops-reviews", Priority.Low);

    private readonly ConcurrentDictionary<string, ConcurrentDictionary<string, ConcurrentDictionary<string, bool>>> _metrics = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, bool> _meters = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, bool> _sources = new(StringComparer.Ordinal);
    private readonly ManualTimeProvider _time = new();

    /// <summary>The values of each label of each metric.</summary>
    public IReadOnlyCollection<string> Names => [.. _metrics.Keys];

    public IReadOnlyCollection<string> Meters => [.. _meters.Keys];

    public IReadOnlyCollection<string> ActivitySources => [.. _sources.Keys];

    public IReadOnlyCollection<string> Labels(string metric) => [.. _metrics[metric].Keys];

    public IReadOnlyCollection<string> Values(string metric, string label) => [.. _metrics[metric][label].Keys];

    public async ValueTask InitializeAsync()
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>(StringComparer.Ordinal)
        {
            ["Resilience:Caches:products:Expiration"] = "00:30:00",
            ["Resilience:Context:Leak:After"] = "00:00:01",
            ["Resilience:Limits:mail:PermitsPerSecond"] = "10",
            ["Resilience:Pools:orders:MaxSize"] = "1",
            ["Resilience:Pools:orders:AcquireTimeout"] = "00:00:01",
            ["Resilience:Pools:orders:LeakThreshold"] = "00:00:10",
            ["Resilience:Pools:orders:LeakAction"] = "Reclaim",
        });
        builder.Services.AddSingleton<TimeProvider>(_time);
        builder.AddResilienceKit(kit =>
        {
            kit.AddFeature(Reviews).AddPool("orders", static _ => new ResourceFactory<object>(static _ => new ValueTask<object>(new object())));
            kit.Services.AddBloomGuard("products", static _ => new NoKeys());
            kit.Services.AddBatchWriter<int>("audit", static _ => static (_, _) => ValueTask.CompletedTask);
            kit.Services.AddBackgroundWorkQueue();
        });
        using IHost host = builder.Build();
        IMeterFactory factory = host.Services.GetRequiredService<IMeterFactory>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, listening) =>
            {
                if (instrument.Meter.Name.StartsWith("Resilience.", StringComparison.Ordinal) && ReferenceEquals(instrument.Meter.Scope, factory))
                {
                    _meters.TryAdd(instrument.Meter.Name, true);
                    listening.EnableMeasurementEvents(instrument);
                }
            },
        };
        using var activities = new ActivityListener { ShouldListenTo = Heard };
        ActivitySource.AddActivityListener(activities);
        listener.SetMeasurementEventCallback<int>((instrument, _, tags, _) => Note(instrument, tags));
        listener.SetMeasurementEventCallback<long>((instrument, _, tags, _) => Note(instrument, tags));
        listener.SetMeasurementEventCallback<double>((instrument, _, tags, _) => Note(instrument, tags));
        listener.Start();
        await host.StartAsync();
        await HaveABadHourAsync(host.Services, listener);
        await host.StopAsync();
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private async Task HaveABadHourAsync(IServiceProvider services, MeterListener listener)
    {
        var background = services.GetRequiredService<BackgroundWorkQueue>();
        int done = 0;
        using (RequestScope scope = RequestScope.Begin(new ScopeOptions { TimeProvider = _time, Monitor = services.GetRequiredService<ScopeMonitor>() }))
        {
            await background.EnqueueAsync(scope.Detach(TimeSpan.FromSeconds(30)), 0, (_, _, _) =>
            {
                Interlocked.Increment(ref done);
                return ValueTask.CompletedTask;
            });
        }

        using (services.GetRequiredKeyedService<RateLimiter>("mail").AttemptAcquire())
        {
            listener.RecordObservableInstruments();
        }

        BeginAndForget(services.GetRequiredService<ScopeMonitor>());
        services.GetRequiredService<ScopeMonitor>().NoteDeadlineExceeded("handler", isCallerChosen: false);
        await services.GetRequiredKeyedService<BatchWriter<int>>("audit").WriteAsync(1);
        await services.GetRequiredService<IDegradation>().RunAsync(Reviews, static _ => throw new TimeoutException("the vendor is down"), static _ => new ValueTask<int>(0));
        await services.GetRequiredService<IDegradation>().OverrideAsync(Reviews, FeatureState.Off, "the vendor is down", "ops");
        await services.GetRequiredKeyedService<ResilientCache>("products").GetOrCreateAsync("key", 0, static (_, _) => ValueTask.FromResult(1)); // refused, if the guard is ready
        await services.GetRequiredService<ResilientCache>().GetOrCreateAsync("key", 0, static (_, _) => ValueTask.FromResult(1)); // loads, whatever a guard says

        // One lease that is forgotten, one that is waited for in vain, one that is had after the forgotten one was reclaimed.
        ResourcePool<object> pool = services.GetRequiredKeyedService<ResourcePool<object>>("orders");
        await pool.AcquireAsync();
        Task<PoolLease<object>> inVain = pool.AcquireAsync().AsTask();
        listener.RecordObservableInstruments();
        await AdvanceUntilAsync(() => inVain.IsCompleted);
        Assert.Equal(TaskStatus.Faulted, inVain.Status);
        await AdvanceUntilAsync(() => pool.Snapshot().Reclaims > 0);
        Task<PoolLease<object>> had = pool.AcquireAsync().AsTask();
        await AdvanceUntilAsync(() => had.IsCompleted);
        await (await had).DisposeAsync();
        await AdvanceUntilAsync(() => Volatile.Read(ref done) > 0 && _metrics.ContainsKey("resilience_scope_leaks_total") && _metrics.ContainsKey("resilience_batch_items_total"));
        listener.RecordObservableInstruments();
    }

    /// <summary>In a method of its own, so that nothing on the stack keeps it from being found leaked.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void BeginAndForget(ScopeMonitor monitor)
    {
        using AsyncFlowControl flow = ExecutionContext.SuppressFlow();
        ThreadPool.UnsafeQueueUserWorkItem(_ => RequestScope.Begin(new ScopeOptions { TimeProvider = _time, Monitor = monitor }), null);
    }

    private Task AdvanceUntilAsync(Func<bool> condition, [CallerArgumentExpression(nameof(condition))] string what = "") =>
        _time.AdvanceUntilAsync(TimeSpan.FromMilliseconds(200), condition, what);

    private bool Heard(ActivitySource source)
    {
        if (source.Name.StartsWith("Resilience.", StringComparison.Ordinal))
        {
            _sources.TryAdd(source.Name, true);
        }

        return false;
    }

    private void Note(Instrument instrument, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        foreach (string name in PrometheusNames(instrument))
        {
            ConcurrentDictionary<string, ConcurrentDictionary<string, bool>> labels = _metrics.GetOrAdd(name, _ => new(StringComparer.Ordinal));
            foreach ((string tag, object? value) in tags)
            {
                labels.GetOrAdd(tag.Replace('.', '_'), _ => new(StringComparer.Ordinal)).TryAdd(Convert.ToString(value, CultureInfo.InvariantCulture) ?? "", true);
            }
        }
    }

    /// <summary>How an instrument is called in Prometheus, after OpenTelemetry's rules: dots become underscores, the unit and the kind come behind.</summary>
    private static IEnumerable<string> PrometheusNames(Instrument instrument)
    {
        Type kind = instrument.GetType().GetGenericTypeDefinition();
        bool isCounter = kind == typeof(Counter<>) || kind == typeof(ObservableCounter<>);
        bool isHistogram = kind == typeof(Histogram<>);
        string unit = instrument.Unit switch
        {
            "s" => "_seconds",
            "By" => "_bytes",
            "1" when !isCounter && !isHistogram => "_ratio",
            _ => "",
        };
        string name = instrument.Name.Replace('.', '_') + unit;
        return isHistogram ? HistogramParts.Select(part => name + part) : [isCounter ? name + "_total" : name];
    }

    private sealed class NoKeys : IGuardSource
    {
        public async IAsyncEnumerable<string> ReadKeysAsync([EnumeratorCancellation] CancellationToken cancellationToken)
        {
            await Task.CompletedTask;
            yield break;
        }
    }
}
