using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Resilience.Caching.Guard;
using Resilience.TestKit;

namespace Resilience.Caching.Tests.Guard;

public sealed class GuardTelemetryTests : IAsyncDisposable
{
    private const string Name = "products";
    private readonly ListSource _source = new("a", "b", "c");
    private readonly ServiceProvider _services;
    private readonly BloomGuard _guard;

    public GuardTelemetryTests()
    {
        var services = new ServiceCollection();
        services.AddResilientCache(Name, options =>
        {
            options.Guard.ExpectedKeys = 1_000;
            options.Guard.FalsePositiveRate = 0.000001;
            options.Guard.AuditShare = 0;
        }).AddBloomGuard(_ => _source);
        _services = services.BuildServiceProvider();
        _guard = _services.GetRequiredKeyedService<BloomGuard>(Name);
    }

    [Fact]
    public async Task Metrics_AfterEachEvent_CountIt()
    {
        using var metrics = new MetricCollector("Resilience.Caching", _services.GetRequiredService<IMeterFactory>());
        Assert.Equal(0, Last("ready"));

        Assert.True(await _guard.RebuildAsync());
        await _guard.AddAsync("d");
        Assert.False(_guard.MayExist("x"));
        Assert.False(_guard.MayExist("y"));
        Assert.True(_guard.MayExist("d"));
        _source.AtEnd = () => throw new IOException("no route");
        await Assert.ThrowsAsync<IOException>(() => _guard.RebuildAsync());

        Assert.Equal(1, Last("ready"));
        Assert.Equal(2, Last("refusals"));
        Assert.Equal(1, Last("additions"));
        Assert.Equal(4, Last("keys"));
        Assert.Equal(1, Last("rebuilds"));
        Assert.Equal(1, Last("rebuild_failures"));
        Assert.Equal(0, Last("contradictions"));
        Assert.InRange(Last("size"), 32, 100_000);
        Assert.InRange(Last("fill"), double.Epsilon, 0.1);
        Assert.InRange(Last("false_positive_rate"), 0, 0.000001);
        Assert.InRange(Last("age"), 0, 600);

        double Last(string instrument)
        {
            metrics.Clear();
            metrics.Observe();
            return metrics.Last($"resilience.cache.guard.{instrument}", ("cache.name", Name))!.Value;
        }
    }

    [Fact]
    public async Task Refusal_ThroughTheCache_RunsNoFactoryAndCounts()
    {
        ResilientCache cache = _services.GetRequiredKeyedService<ResilientCache>(Name);
        Assert.True(await _guard.RebuildAsync());
        Assert.Null(await cache.GetOrCreateAsync<string?>("x", _ => throw new InvalidOperationException("the source was asked")));
        Assert.Equal(1, cache.Snapshot().GuardRefusals);
        Assert.Equal("value", await cache.GetOrCreateAsync("a", _ => new ValueTask<string>("value")));
    }

    [Fact]
    public async Task Load_OfNull_IsNoProofThatTheKeyExists()
    {
        ResilientCache cache = _services.GetRequiredKeyedService<ResilientCache>(Name);
        for (int i = 0; i < 10; i++)
        {
            // No filter yet, so the source is asked; an attacker's keys must not fill the filter to come.
            Assert.Null(await cache.GetOrCreateAsync($"invented:{i}", _ => new ValueTask<string?>((string?)null)));
        }

        Assert.True(await _guard.RebuildAsync());
        Assert.Equal(3, _guard.GetStatistics().Keys);
        Assert.DoesNotContain(Enumerable.Range(0, 10), i => _guard.MayExist($"invented:{i}"));
    }

    [Fact]
    public async Task Load_OfAValue_IsAnAddition()
    {
        ResilientCache cache = _services.GetRequiredKeyedService<ResilientCache>(Name);
        await cache.GetOrCreateAsync("unannounced", _ => new ValueTask<string>("there it is"));
        Assert.True(await _guard.RebuildAsync());
        Assert.True(_guard.MayExist("unannounced"));
    }

    [Fact]
    public async Task Health_Contradicted_IsDegradedAndSaysWhy()
    {
        HealthCheckService health = _services.GetRequiredService<HealthCheckService>();
        Assert.Equal(HealthStatus.Healthy, (await health.CheckHealthAsync()).Entries[$"guard:{Name}"].Status);

        Assert.True(await _guard.RebuildAsync());
        _guard.Configure(new GuardOptions { ExpectedKeys = 1_000, AuditShare = 1 });
        Assert.True(_guard.MayExist("unannounced"));
        ((ICacheGuard)_guard).Exists("unannounced");

        HealthReportEntry entry = (await health.CheckHealthAsync()).Entries[$"guard:{Name}"];
        Assert.Equal(HealthStatus.Degraded, entry.Status);
        Assert.Contains("Contradicted", entry.Description, StringComparison.Ordinal);
        Assert.Contains("1 contradiction", entry.Description, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Health_FirstBuildFailed_IsDegradedWithTheError()
    {
        HealthCheckService health = _services.GetRequiredService<HealthCheckService>();
        _source.AtEnd = () => throw new IOException("no route");
        await Assert.ThrowsAsync<IOException>(() => _guard.RebuildAsync());
        HealthReportEntry entry = (await health.CheckHealthAsync()).Entries[$"guard:{Name}"];
        Assert.Equal(HealthStatus.Degraded, entry.Status);
        Assert.Contains("no route", entry.Description, StringComparison.Ordinal);
    }

    public ValueTask DisposeAsync() => _services.DisposeAsync();
}
