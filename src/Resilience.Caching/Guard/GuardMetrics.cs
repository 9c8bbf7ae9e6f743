using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace Resilience.Caching.Guard;

/// <summary>The instruments of the guards. All are observed: they cost nothing until somebody collects.</summary>
internal sealed class GuardMetrics
{
    private readonly ConcurrentDictionary<BloomGuard, string> _guards = new(); // with its name

    public GuardMetrics(IMeterFactory factory)
    {
        Meter meter = factory.Create("Resilience.Caching");
        Counter(meter, "resilience.cache.guard.refusals", "{read}", "Reads of keys that provably do not exist.", s => s.Refusals);
        Counter(meter, "resilience.cache.guard.withheld", "{read}", "Reads that would have been refused, had the guard been ready and fresh.", s => s.Withheld);
        Counter(meter, "resilience.cache.guard.audits", "{read}", "Refusals let through as a sample.", s => s.Audits);
        Counter(meter, "resilience.cache.guard.contradictions", "{read}", "Refused keys that turned out to exist.", s => s.Contradictions);
        Counter(meter, "resilience.cache.guard.additions", "{key}", "Keys added.", s => s.Additions);
        Counter(meter, "resilience.cache.guard.rebuilds", "{rebuild}", "Filters built.", s => s.Rebuilds);
        Counter(meter, "resilience.cache.guard.rebuild_failures", "{rebuild}", "Filters that could not be built.", s => s.FailedRebuilds);
        Gauge(meter, "resilience.cache.guard.ready", "1", "1 while the guard may refuse, else 0.", s => s.State == GuardState.Ready ? 1 : 0);
        Gauge(meter, "resilience.cache.guard.keys", "{key}", "Distinct keys in the filter.", s => s.Keys);
        Gauge(meter, "resilience.cache.guard.size", "By", "Memory of the filter.", s => s.Bytes);
        Gauge(meter, "resilience.cache.guard.fill", "1", "Share of the filter's bits that are set.", s => s.Fill);
        Gauge(meter, "resilience.cache.guard.false_positive_rate", "1", "Estimated share of absent keys that pass.", s => s.EstimatedFalsePositiveRate);
        Gauge(meter, "resilience.cache.guard.age", "s", "Age of the filter.", s => s.Age?.TotalSeconds ?? 0);
    }

    /// <summary>Observes a guard from now on; it is never let go of, like the container's singleton that it is.</summary>
    public void Observe(BloomGuard guard) => _guards.TryAdd(guard, guard.Name);

    private void Counter(Meter meter, string name, string unit, string description, Func<GuardStatistics, long> read) =>
        meter.CreateObservableCounter(name, () => _guards.Select(guard => new Measurement<long>(read(guard.Key.GetStatistics()), new KeyValuePair<string, object?>("cache.name", guard.Value))), unit, description);

    private void Gauge(Meter meter, string name, string unit, string description, Func<GuardStatistics, double> read) =>
        meter.CreateObservableGauge(name, () => _guards.Select(guard => new Measurement<double>(read(guard.Key.GetStatistics()), new KeyValuePair<string, object?>("cache.name", guard.Value))), unit, description);
}
