using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Resilience.Hosting;
using Resilience.Hosting.Configuration;
using Resilience.Hosting.Health;
using Resilience.Settings;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds the whole kit to a service.</summary>
public static class ResilienceKitServiceCollectionExtensions
{
    /// <summary>
    /// Adds request scopes, caches, features, admission and, where it is configured, Redis, all read from the section <c>Resilience</c>. Pools need
    /// to know how a resource is made: add them through <paramref name="configure"/>. Calling it twice is harmless.
    /// </summary>
    /// <remarks>
    /// Nothing starts a thread or opens a socket before the host starts. When it starts, all settings are validated, and every error
    /// is reported at once with its configuration path; from then on they reload live, and a reload with an error changes nothing.
    /// </remarks>
    /// <param name="services">The services.</param>
    /// <param name="configuration">The configuration that has the section <c>Resilience</c>.</param>
    /// <param name="configure">Adds caches, pools and features by name.</param>
    public static IResilienceKitBuilder AddResilienceKit(this IServiceCollection services, IConfiguration configuration, Action<IResilienceKitBuilder>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(configuration);
        services.TryAddSingleton(configuration);
        var kit = new ResilienceKitBuilder(services, configuration);
        services.AddRequestScopes();
        services.AddDegradation().AddSystemSignals().AddAdmission();
        services.AddResilienceDashboard();
        AddCaches(kit);
        AddSettingsChecks(services);
        configure?.Invoke(kit);
        return kit;
    }

    private static void AddCaches(ResilienceKitBuilder kit)
    {
        kit.Services.AddResilientCache();
        foreach (IConfigurationSection cache in kit.Configuration.GetSection($"{KitSections.Root}:Caches").GetChildren())
        {
            if (!string.Equals(cache.Key, "Default", StringComparison.OrdinalIgnoreCase))
            {
                kit.AddCache(cache.Key);
            }
        }

        if (kit.Configuration[$"{KitSections.Root}:Redis:Configuration"] is { Length: > 0 })
        {
            // Without the journal each node would refuse the keys that only the others know.
            kit.Services.AddRedisGuardJournal();
        }
    }

    private static void AddSettingsChecks(IServiceCollection services)
    {
        services.TryAddEnumerable(ServiceDescriptor.Singleton<ISettingsCheck, KitSections>());
        services.AddHealthChecks();
        services.Configure<HealthCheckServiceOptions>(options =>
        {
            if (options.Registrations.All(registration => registration.Name != SettingsHealthCheck.Name))
            {
                options.Registrations.Add(new HealthCheckRegistration(SettingsHealthCheck.Name, ActivatorUtilities.GetServiceOrCreateInstance<SettingsHealthCheck>, HealthStatus.Degraded, ["ready"]));
            }
        });
    }
}
