using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace Resilience.Redis;

/// <summary>The instruments of this package. All are observed: they cost nothing until somebody collects.</summary>
internal sealed class RedisMetrics
{
    public const string MeterName = "Resilience.Redis";

    private readonly ConcurrentDictionary<RedisRateLimiter, KeyValuePair<string, object?>> _limiters = new();

    public RedisMetrics(IMeterFactory factory)
    {
        Meter meter = factory.Create(MeterName);
        meter.CreateObservableCounter("resilience.limiter.permits", Permits, "{permit}", "Permits asked for, by limit, outcome and who decided.");
        meter.CreateObservableCounter("resilience.limiter.round_trips", () => Read(counts => counts.RoundTrips), "{call}", "Questions to Redis, by limit.");
        meter.CreateObservableCounter("resilience.limiter.failures", () => Read(counts => counts.Failures), "{call}", "Questions that Redis did not answer, by limit.");
        meter.CreateObservableGauge("resilience.limiter.away", () => Read(counts => counts.IsAway ? 1 : 0), null, "1 while the node goes on with its share because Redis does not answer.");
        meter.CreateObservableGauge("resilience.limiter.nodes", () => Read(counts => counts.Nodes), "{node}", "Among how many nodes the limit would be split.");
    }

    public void Observe(RedisRateLimiter limiter) => _limiters.TryAdd(limiter, new KeyValuePair<string, object?>("resilience.limiter.name", limiter.Name));

    public void Forget(RedisRateLimiter limiter) => _limiters.TryRemove(limiter, out _);

    private IEnumerable<Measurement<long>> Read(Func<RedisRateLimiter.Counts, long> read) => _limiters.Select(limiter => new Measurement<long>(read(limiter.Key.Count()), limiter.Value));

    private IEnumerable<Measurement<long>> Permits()
    {
        foreach ((RedisRateLimiter limiter, KeyValuePair<string, object?> name) in _limiters)
        {
            RedisRateLimiter.Counts counts = limiter.Count();
            yield return Of(counts.Granted, "granted", "fleet");
            yield return Of(counts.Refused, "refused", "fleet");
            yield return Of(counts.GrantedByShare, "granted", "share");
            yield return Of(counts.RefusedByShare, "refused", "share");

            Measurement<long> Of(long value, string outcome, string by) => new(value, name, new("outcome", outcome), new("resilience.limiter.decided_by", by));
        }
    }
}
