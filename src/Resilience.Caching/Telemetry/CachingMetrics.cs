using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace Resilience.Caching.Telemetry;

/// <summary>The instruments of the caches. All are observed: they cost nothing until somebody collects.</summary>
internal sealed class CachingMetrics
{
    private readonly ConcurrentDictionary<ResilientCache, string> _caches = new(); // with its name

    public CachingMetrics(IMeterFactory factory)
    {
        Meter meter = factory.Create("Resilience.Caching");
        Counter(meter, "resilience.cache.local.hits", "{read}", "Reads answered by the local tier.", s => s.LocalHits);
        Counter(meter, "resilience.cache.shared.hits", "{read}", "Loads answered by the shared tier.", s => s.SharedHits);
        Counter(meter, "resilience.cache.source.loads", "{load}", "Factory calls begun.", s => s.SourceLoads);
        Counter(meter, "resilience.cache.source.failures", "{load}", "Factory calls that failed.", s => s.SourceFailures);
        Counter(meter, "resilience.cache.source.timeouts", "{load}", "Factory calls abandoned at their load timeout.", s => s.LoadTimeouts);
        Counter(meter, "resilience.cache.joined", "{read}", "Reads that joined a load under way.", s => s.Joined);
        Counter(meter, "resilience.cache.stale.served", "{read}", "Reads answered with a stale copy.", s => s.StaleServed);
        Counter(meter, "resilience.cache.negative.hits", "{read}", "Reads answered 'absent' from memory.", s => s.NegativeHits);
        Counter(meter, "resilience.cache.loads.discarded", "{load}", "Loaded values not kept because of an invalidation.", s => s.Discarded);
        Counter(meter, "resilience.cache.refreshes", "{load}", "Refreshes begun before the expiry.", s => s.EagerRefreshes);
        Counter(meter, "resilience.cache.oversized", "{value}", "Values too large to be kept.", s => s.Oversized);
        Counter(meter, "resilience.cache.shared.bad_frames", "{value}", "Stored bytes that were no whole frame of their key.", s => s.BadFrames);
        Counter(meter, "resilience.cache.shared.failures", "{call}", "Calls to the shared tier that failed.", s => s.SharedFailures);
        Counter(meter, "resilience.cache.shared.rejected", "{write}", "Conditional writes refused because the key had changed.", s => s.SharedRejected);
        Counter(meter, "resilience.cache.shared.writes_dropped", "{write}", "Background writes dropped for want of room.", s => s.WritesDropped);
        Counter(meter, "resilience.cache.revalidated", "{entry}", "Local copies compared with the shared tier and found good.", s => s.Revalidated);
        Counter(meter, "resilience.cache.distrusted", "{event}", "Times the node may have missed an invalidation.", s => s.Distrusted);
        Counter(meter, "resilience.cache.invalidations", "{change}", "Invalidations and writes made or heard of.", s => s.Invalidations);
        Counter(meter, "resilience.cache.replayed", "{change}", "Missed changes made good after an outage.", s => s.Replayed);
        Counter(meter, "resilience.cache.local.evictions", "{entry}", "Entries dropped for want of room.", s => s.Evictions);
        Gauge(meter, "resilience.cache.flights", "{load}", "Loads under way.", s => s.Flights);
        Gauge(meter, "resilience.cache.local.entries", "{entry}", "Entries in the local tier.", s => s.LocalCount);
        Gauge(meter, "resilience.cache.local.weight", "By", "Weight of the local tier's entries.", s => s.LocalWeight);
        Gauge(meter, "resilience.cache.replays.pending", "{change}", "Missed changes that wait for the shared tier.", s => s.ReplaysPending);
        Gauge(meter, "resilience.cache.shared.open", "1", "1 while the shared tier is taken for broken, else 0.", s => s.SharedState is SharedTierState.Open or SharedTierState.Probing ? 1 : 0);
    }

    /// <summary>Observes a cache from now on; it is never let go of, like the container's singleton that it is.</summary>
    public void Observe(ResilientCache cache) => _caches.TryAdd(cache, cache.Name);

    private void Counter(Meter meter, string name, string unit, string description, Func<CacheSnapshot, long> read) =>
        meter.CreateObservableCounter(name, () => _caches.Select(cache => new Measurement<long>(read(cache.Key.Snapshot()), new KeyValuePair<string, object?>("cache.name", cache.Value))), unit, description);

    private void Gauge(Meter meter, string name, string unit, string description, Func<CacheSnapshot, long> read) =>
        meter.CreateObservableGauge(name, () => _caches.Select(cache => new Measurement<long>(read(cache.Key.Snapshot()), new KeyValuePair<string, object?>("cache.name", cache.Value))), unit, description);
}
