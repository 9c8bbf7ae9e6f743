using Resilience.Caching;
using Resilience.Degrade;
using Resilience.Pools;

namespace Resilience.Hosting.Wiring;

/// <summary>
/// What presses from within the kit: <c>pool:NAME</c> for each pool, <c>breaker:NAME</c> for each cache that has a shared tier.
/// </summary>
internal sealed class BlockSignals(KitBlocks blocks) : IPressureSignalSource
{
    /// <summary>
    /// What a part that is away presses with: elevated by the default thresholds, and no more. What needs that part fails by itself; the rest of the
    /// service should only make room for what it costs.
    /// </summary>
    public const double Away = 0.85;

    public IEnumerable<IPressureSignal> Signals =>
    [
        .. blocks.Pools.Select(static pool => new PoolSignal(pool)),
        .. blocks.Caches.Where(static cache => cache.SharedState != SharedTierState.None).Select(static cache => new BreakerSignal(cache)),
    ];

    /// <summary>
    /// How full a pool is and how many queue for it, as one share from 0 to 1: 0.7 of it is the leased share, 0.3 the share of callers who wait to
    /// places. A pool in full use that keeps nobody waiting does its job and presses on nothing; by the default thresholds it is elevated from one
    /// waiting caller to three places on, high from 0.6 and critical from 0.8 of a caller a place.
    /// </summary>
    internal static double Saturation(in PoolOccupancy pool)
    {
        double places = Math.Max(1, pool.Limit);
        double saturation = (0.7 * Math.Min(1, pool.Leased / places)) + (0.3 * Math.Min(1, pool.Waiting / places));
        return pool.Backend == PoolBackendState.Down ? Math.Max(saturation, Away) : saturation;
    }

    private sealed class PoolSignal(IResourcePool pool) : IPressureSignal
    {
        public string Name { get; } = $"pool:{pool.Name}";

        public double Read() => Saturation(pool.Occupancy);
    }

    private sealed class BreakerSignal(ResilientCache cache) : IPressureSignal
    {
        public string Name { get; } = $"breaker:{cache.Name}";

        public double Read() => cache.SharedState is SharedTierState.Open or SharedTierState.Probing ? Away : 0;
    }
}
