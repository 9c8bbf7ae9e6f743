using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Resilience.TestKit;

namespace Resilience.Integration.Tests.TestKit;

public sealed class TelemetryTests
{
    [Fact]
    public void MetricCollector_TagsSelect_SumsCountsAndSamples()
    {
        using ServiceProvider services = new ServiceCollection().AddMetrics().BuildServiceProvider();
        var factory = services.GetRequiredService<IMeterFactory>();
        using var metrics = new MetricCollector("Kit.Tests", factory);
        Meter meter = factory.Create("Kit.Tests");
        Counter<long> counter = meter.CreateCounter<long>("done", "{thing}");
        Histogram<double> histogram = meter.CreateHistogram<double>("wait", "s");
        int level = 5;
        meter.CreateObservableGauge("level", () => level);
        using var foreign = new Meter("Kit.Tests");
        foreign.CreateCounter<long>("done").Add(1_000);

        counter.Add(2, new KeyValuePair<string, object?>("pool", "a"), new KeyValuePair<string, object?>("outcome", "ok"));
        counter.Add(3, new KeyValuePair<string, object?>("pool", "a"), new KeyValuePair<string, object?>("outcome", "failed"));
        counter.Add(4, new KeyValuePair<string, object?>("pool", "b"));
        histogram.Record(0.5);
        histogram.Record(1.5);
        metrics.Observe();
        level = 6;
        metrics.Observe();

        Assert.Equal(9, metrics.Sum("done"));
        Assert.Equal(5, metrics.Sum("done", ("pool", "a")));
        Assert.Equal(3, metrics.Sum("done", ("pool", "a"), ("outcome", "failed")));
        Assert.Equal(2, metrics.Count("done", ("pool", "a")));
        Assert.Equal([0.5, 1.5], metrics.Samples("wait"));
        Assert.Equal(6, metrics.Last("level"));
        Assert.Null(metrics.Last("nothing"));
        Assert.Equal(["a", "b"], metrics.TagValues("done", "pool").Order());
        Assert.Equal("{thing}", metrics.Instruments["done"].Unit);
    }

    [Fact]
    public async Task LogCollector_Entry_HasIdValuesAndScopes()
    {
        var logs = new LogCollector();
        ILogger logger = logs.CreateLogger<TelemetryTests>();
        Task<LogEntry> waiting = logs.WaitForAsync(entry => entry.Id.Id == 17);

        using (logger.BeginScope("the scope"))
        {
            logger.LogWarning(new EventId(17, "Slow"), new TimeoutException(), "Pool {Pool} is slow", "orders");
        }

        LogEntry entry = await waiting;
        Assert.Equal("Warning Resilience.Integration.Tests.TestKit.TelemetryTests[17] Pool orders is slow (TimeoutException)", entry.ToString());
        Assert.Equal("orders", entry.Values["Pool"]);
        Assert.Equal(["the scope"], entry.Scopes);
        Assert.Single(logs.WithId(17));
        await Assert.ThrowsAsync<TimeoutException>(() => logs.WaitForAsync(e => e.Id.Id == 18, TimeSpan.FromMilliseconds(1)));
    }
}
