using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Resilience.Caching;
using Resilience.Degrade;
using Resilience.Hosting.Diagnostics;
using Resilience.Pools;
using Resilience.Settings;

namespace Resilience.Hosting.Wiring;

/// <summary>
/// Has the caches and pools of a feature give way with it: while it is degraded or off its caches serve stale copies first and its pools
/// serve by priority alone.
/// </summary>
/// <remarks>Everything is looked at again with each change of a feature or of a setting: changes are rare, blocks are few.</remarks>
internal sealed class FeatureWiring(KitBlocks blocks, IDegradation degradation, IServiceProvider services, IEnumerable<SettingsRegistration> registrations, ILogger<FeatureWiring> logger) : IHostedService, IDisposable
{
    private readonly Lock _lock = new(); // held while states are written, so that the last writer knows the last state
    private readonly HashSet<string> _warned = new(StringComparer.OrdinalIgnoreCase); // guarded by _lock
    private readonly List<IDisposable> _subscriptions = [];

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _subscriptions.Add(degradation.OnChange(_ => Apply()));
        foreach (SettingsRegistration registration in registrations)
        {
            // A block takes its new settings before this: it listens since it was made.
            if (registration.Type == typeof(CacheOptions))
            {
                _ = blocks.Caches;
                _subscriptions.Add(services.GetRequiredKeyedService<LiveSettings<CacheOptions>>(registration.Name).OnChange(_ => Apply()));
            }
            else if (registration.Type == typeof(PoolOptions))
            {
                _ = blocks.Pools;
                _subscriptions.Add(services.GetRequiredKeyedService<LiveSettings<PoolOptions>>(registration.Name).OnChange(_ => Apply()));
            }
        }

        Apply();
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose() => _subscriptions.ForEach(static subscription => subscription.Dispose());

    private void Apply()
    {
        lock (_lock)
        {
            foreach (ResilientCache cache in blocks.Caches)
            {
                cache.ServesStaleFirst = IsLoweredUnderLock(cache.Feature, $"Resilience:Caches:{cache.Name}");
            }

            foreach (IResourcePool pool in blocks.Pools)
            {
                pool.YieldsToPriority = IsLoweredUnderLock(pool.Feature, $"Resilience:Pools:{pool.Name}");
            }
        }
    }

    private bool IsLoweredUnderLock(string? name, string section)
    {
        if (string.IsNullOrEmpty(name))
        {
            return false;
        }

        if (Feature.TryGet(name, out Feature? feature))
        {
            return degradation.StateOf(feature) != FeatureState.Normal;
        }

        if (_warned.Add(name))
        {
            HostingLog.FeatureUnknown(logger, $"{section}:Feature", name, NearestName.Find(name, Feature.All.Select(static known => known.Name)) is { } nearest ? $"; did you mean '{nearest}'?" : ".");
        }

        return false;
    }
}
