using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Resilience.Caching;
using Resilience.Caching.Guard;
using Resilience.Settings;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers bloom guards.</summary>
public static class GuardServiceCollectionExtensions
{
    /// <summary>
    /// Puts a bloom guard in front of the cache of the same name: keyed <see cref="BloomGuard"/>, built from the source when the host starts and
    /// configured at <c>Resilience:Caches:&lt;name&gt;:Guard</c>. Where an <see cref="IGuardJournal"/> is registered under the name, the guard is shared between nodes.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="name">The name of the cache.</param>
    /// <param name="source">Makes the source of the keys; called once.</param>
    /// <returns>The services.</returns>
    /// <remarks>Calling it again for the same name changes nothing.</remarks>
    public static IServiceCollection AddBloomGuard(this IServiceCollection services, string name, Func<IServiceProvider, IGuardSource> source)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(source);
        if (services.Any(service => service.ServiceType == typeof(BloomGuard) && name.Equals(service.ServiceKey)))
        {
            return services;
        }

        services.AddLogging();
        services.AddMetrics();
        services.AddLiveSettings<GuardOptions>(name, $"Resilience:Caches:{(name.Length == 0 ? "Default" : name)}:Guard");
        services.TryAddSingleton<GuardMetrics>();
        services.AddKeyedSingleton(name, (provider, _) => Create(provider, name, source(provider)));
        services.AddKeyedSingleton<ICacheGuard>(name, (provider, _) => provider.GetRequiredKeyedService<BloomGuard>(name));
        services.AddSingleton<IHostedService>(provider => new GuardService(provider.GetRequiredKeyedService<BloomGuard>(name)));
        services.AddHealthChecks().Add(new HealthCheckRegistration(
            name.Length == 0 ? "guard" : $"guard:{name}",
            provider => new GuardHealthCheck(provider.GetRequiredKeyedService<BloomGuard>(name)),
            HealthStatus.Degraded,
            ["resilience", "cache", "guard"]));
        return services;
    }

    private static BloomGuard Create(IServiceProvider provider, string name, IGuardSource source)
    {
        var settings = provider.GetRequiredKeyedService<LiveSettings<GuardOptions>>(name);
        IGuardJournal? journal = provider.GetKeyedService<IGuardJournal>(name);
        var guard = new BloomGuard(
            name,
            settings.Current,
            source,
            journal,
            provider.GetService<TimeProvider>() ?? TimeProvider.System,
            provider.GetRequiredService<ILoggerFactory>().CreateLogger("Resilience.Caching.Guard"));
        settings.OnChange(guard.Configure);
        provider.GetRequiredService<GuardMetrics>().Observe(guard);
        return guard;
    }
}
