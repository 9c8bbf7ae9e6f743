using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Resilience.AspNetCore;
using Resilience.AspNetCore.Dashboard;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers the dashboard.</summary>
public static class DashboardServiceCollectionExtensions
{
    /// <summary>
    /// Adds what <c>MapResilienceDashboard()</c> needs; settings come from <c>Resilience:Dashboard</c>. Nothing is read or started before
    /// somebody opens the page. Calling it twice is harmless.
    /// </summary>
    /// <param name="services">The services.</param>
    public static IServiceCollection AddResilienceDashboard(this IServiceCollection services)
    {
        ArgumentNullException.ThrowIfNull(services);
        if (services.Any(static service => service.ServiceType == typeof(DashboardHub)))
        {
            return services;
        }

        services.AddRouting();
        services.AddLiveSettings<DashboardSettings>("", DashboardSettings.SectionPath);
        services.AddSingleton(static provider => ActivatorUtilities.CreateInstance<DashboardHub>(provider, Settings(provider)));
        services.AddSingleton(static provider => ActivatorUtilities.CreateInstance<DashboardStream>(provider, Settings(provider)));
        services.AddSingleton(static provider => ActivatorUtilities.CreateInstance<DashboardChanges>(provider, Settings(provider)));
        services.AddSingleton(static provider => ActivatorUtilities.CreateInstance<DashboardCaches>(provider, Settings(provider)));
        services.AddSingleton<DashboardJournal>();
        services.AddHostedService(static provider => provider.GetRequiredService<DashboardJournal>());
        services.AddSingleton<ChangeTokens>();
        services.TryAddEnumerable((ServiceDescriptor[])
        [
            ServiceDescriptor.Singleton<IStartupFilter, DashboardStartupFilter>(),
            ServiceDescriptor.Singleton<IDashboardPanel, FeaturesPanel>(),
            ServiceDescriptor.Singleton<IDashboardPanel, PressurePanel>(),
            ServiceDescriptor.Singleton<IDashboardPanel, AdmissionPanel>(),
            ServiceDescriptor.Singleton<IDashboardPanel, PoolsPanel>(),
            ServiceDescriptor.Singleton<IDashboardPanel, CachesPanel>(),
            ServiceDescriptor.Singleton<IDashboardPanel, ScopesPanel>(),
            ServiceDescriptor.Singleton<IDashboardPanel, SettingsPanel>(),
        ]);
        return services;
    }

    private static Resilience.Settings.LiveSettings<DashboardSettings> Settings(IServiceProvider provider) =>
        provider.GetRequiredKeyedService<Resilience.Settings.LiveSettings<DashboardSettings>>("");
}
