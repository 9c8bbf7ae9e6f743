using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace Resilience.Pools;

/// <summary>
/// The instruments of all pools of one container, in the shape of OpenTelemetry's <c>db.client.connection.*</c>: the same parts, units
/// and states under a name that fits mail servers too. Names are constants so that dashboards can be tested against them.
/// </summary>
internal sealed class PoolMetrics
{
    public const string MeterName = "Resilience.Pools";
    public const string PoolTag = "resilience.pool.name";
    public const string StateTag = "resilience.pool.state";
    public const string ReasonTag = "reason";
    public const string OutcomeTag = "outcome";
    public const string BackendDown = "backend_down";
    public const string PoolClosed = "pool_closed";

    private static readonly Lazy<PoolMetrics> SharedMetrics = new(static () => new PoolMetrics(new Meter(MeterName)));

    private readonly ConcurrentDictionary<IResourcePool, bool> _pools = new();
    private readonly Counter<long> _timeouts;
    private readonly Counter<long> _leaks;
    private readonly Counter<long> _reclaims;
    private readonly Counter<long> _staleReturns;
    private readonly Histogram<double> _createTime;

    public PoolMetrics(IMeterFactory factory)
        : this(factory.Create(MeterName))
    {
    }

    private PoolMetrics(Meter meter)
    {
        meter.CreateObservableUpDownCounter("resilience.pool.count", ObserveCounts, "{resource}", "Resources of the pool by state: idle, used, or pending in the pool's own hands.");
        meter.CreateObservableUpDownCounter("resilience.pool.idle.min", () => Observe(static pool => pool.MinIdle), "{resource}", "The idle resources that the pool keeps ready.");
        meter.CreateObservableUpDownCounter("resilience.pool.idle.max", () => Observe(static pool => pool.Limit), "{resource}", "The most resources that may be idle.");
        meter.CreateObservableUpDownCounter("resilience.pool.max", () => Observe(static pool => pool.Limit), "{resource}", "The most resources that may exist.");
        meter.CreateObservableUpDownCounter("resilience.pool.pending_requests", () => Observe(static pool => pool.Waiting), "{request}", "Callers that wait for a resource.");
        meter.CreateObservableGauge("resilience.pool.backend_state", () => Observe(static pool => (int)pool.Backend), null, "0: creations succeed, 1: they fail, 2: the backend is down.");
        _timeouts = meter.CreateCounter<long>("resilience.pool.timeouts", "{timeout}", "Waits that ended without a resource, by what ended them.");
        _leaks = meter.CreateCounter<long>("resilience.pool.leaks", "{lease}", "Leases that were held beyond the threshold.");
        _reclaims = meter.CreateCounter<long>("resilience.pool.reclaims", "{lease}", "Leases that were taken away.");
        _staleReturns = meter.CreateCounter<long>("resilience.pool.stale_returns", "{lease}", "Returns of leases that had ended already.");
        _createTime = meter.CreateHistogram<double>("resilience.pool.create_time", "s", "The time that it took to create a resource, or to fail at it.");
        WaitTime = meter.CreateHistogram<double>("resilience.pool.wait_time", "s", "The time that callers waited for a resource, where they had to.");
        UseTime = meter.CreateHistogram<double>("resilience.pool.use_time", "s", "The time that leases lasted.");
    }

    /// <summary>For pools that no container made.</summary>
    public static PoolMetrics Shared => SharedMetrics.Value;

    public Histogram<double> WaitTime { get; }

    public Histogram<double> UseTime { get; }

    public void Add(IResourcePool pool) => _pools.TryAdd(pool, true);

    public void Remove(IResourcePool pool) => _pools.TryRemove(pool, out _);

    public void Waited(string pool, TimeSpan time) => WaitTime.Record(time.TotalSeconds, Tag(pool));

    public void Used(string pool, TimeSpan time) => UseTime.Record(time.TotalSeconds, Tag(pool));

    public void TimedOut(string pool, string reason) => _timeouts.Add(1, Tag(pool), new(ReasonTag, reason));

    public void Leaked(string pool) => _leaks.Add(1, Tag(pool));

    public void Reclaimed(string pool) => _reclaims.Add(1, Tag(pool));

    public void StaleReturn(string pool) => _staleReturns.Add(1, Tag(pool));

    public void CreateEnded(string pool, TimeSpan time, bool succeeded)
    {
        if (_createTime.Enabled)
        {
            _createTime.Record(time.TotalSeconds, Tag(pool), new(OutcomeTag, succeeded ? "ok" : "failed"));
        }
    }

    private static KeyValuePair<string, object?> Tag(string pool) => new(PoolTag, pool);

    public static string Word(PoolWaitLimit limit) => limit switch
    {
        PoolWaitLimit.RequestDeadline => "request_deadline",
        PoolWaitLimit.StandingQueue => "standing_queue",
        PoolWaitLimit.QueueFull => "queue_full",
        _ => "acquire_timeout",
    };

    private IEnumerable<Measurement<int>> Observe(Func<PoolSnapshot, int> value) =>
        _pools.Keys.Select(pool => new Measurement<int>(value(pool.Snapshot()), Tag(pool.Name)));

    private IEnumerable<Measurement<int>> ObserveCounts()
    {
        foreach (IResourcePool pool in _pools.Keys)
        {
            PoolSnapshot snapshot = pool.Snapshot();
            yield return new(snapshot.Idle, Tag(pool.Name), new(StateTag, "idle"));
            yield return new(snapshot.Leased, Tag(pool.Name), new(StateTag, "used"));
            yield return new(snapshot.Creating + snapshot.Checking + snapshot.Closing, Tag(pool.Name), new(StateTag, "pending"));
        }
    }
}
