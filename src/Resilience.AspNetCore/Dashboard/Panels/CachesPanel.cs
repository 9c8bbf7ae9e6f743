using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching;
using Resilience.Caching.Guard;
using Resilience.Settings;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>All caches of the container, found by their settings: a cache's name is the name of its settings and its DI key.</summary>
internal sealed class CachesPanel(IServiceProvider services, IEnumerable<SettingsRegistration> registrations, TimeProvider time) : IDashboardPanel
{
    private readonly string[] _names = [.. registrations.Where(registration => registration.Type == typeof(CacheOptions)).Select(registration => registration.Name).Distinct(StringComparer.Ordinal)];
    private Watched[]? _caches;

    public string Area => "caches";

    public DashboardSnapshot Read(DashboardSnapshot snapshot)
    {
        Watched[] caches = _caches ??= [.. _names.Select(name => services.GetKeyedService<ResilientCache>(name)).OfType<ResilientCache>().Select(cache => new Watched(cache, services.GetKeyedService<BloomGuard>(cache.Name), new RateWindow(time)))];
        return caches.Length == 0 ? snapshot : snapshot with { Caches = [.. caches.Select(Figures)] };
    }

    private static CacheFigures Figures(Watched watched) => Figures(watched.Cache.Name, watched.Cache.Snapshot(), watched.Rates) with
    {
        ServesStaleFirst = watched.Cache.ServesStaleFirst,
        Guard = watched.Guard?.GetStatistics() is { } guard
            ? new GuardFigures(guard.State.ToString(), guard.Keys, guard.EstimatedFalsePositiveRate, guard.Contradictions)
            : null,
    };

    /// <summary>
    /// A read is answered by the local tier, by the guard or a remembered "there is no such thing", or else it loads or joins a load. A load
    /// asks the shared tier first.
    /// </summary>
    internal static CacheFigures Figures(string name, CacheSnapshot cache, RateWindow rates)
    {
        double[] perSecond = rates.PerSecond(
            cache.LocalHits,
            cache.NegativeHits,
            cache.GuardRefusals,
            cache.Joined,
            cache.SharedHits,
            cache.SourceLoads,
            cache.SourceFailures,
            cache.StaleServed);
        (double local, double negative, double refused, double joined, double shared, double loads) =
            (perSecond[0], perSecond[1], perSecond[2], perSecond[3], perSecond[4], perSecond[5]);
        double reads = local + negative + refused + joined + shared + loads;
        return new CacheFigures
        {
            Name = name,
            ReadsPerSecond = reads,
            LocalHitRatio = Share(local + negative + refused, reads),
            SharedHitRatio = cache.SharedState == SharedTierState.None ? null : Share(shared, shared + loads),
            LoadsPerSecond = loads,
            FailuresPerSecond = perSecond[6],
            StalePerSecond = perSecond[7],
            RefusedPerSecond = refused,
            Flights = cache.Flights,
            Entries = cache.LocalCount,
            Weight = cache.LocalWeight,
            SharedTier = cache.SharedState.ToString(),
            ReplaysPending = cache.ReplaysPending,
        };
    }

    private static double? Share(double part, double whole) => whole > 0 ? part / whole : null;

    private sealed record Watched(ResilientCache Cache, BloomGuard? Guard, RateWindow Rates);
}
