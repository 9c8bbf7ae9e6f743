using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Resilience.Degrade;
using Resilience.Settings;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers degradation.</summary>
public static class DegradationServiceCollectionExtensions
{
    /// <summary>The configuration path by default.</summary>
    public const string DefaultPath = "Resilience:Degrade";

    /// <summary>
    /// Adds <see cref="IDegradation"/> with settings from the application's configuration at <c>Resilience:Degrade</c>, and the health check
    /// <c>resilience-pressure</c>. Calling it again changes nothing.
    /// </summary>
    /// <param name="services">The services.</param>
    public static IDegradationBuilder AddDegradation(this IServiceCollection services) => Add(services, null, DefaultPath);

    /// <summary>Adds <see cref="IDegradation"/> with settings from a section of one's choice. Calling it again changes nothing.</summary>
    /// <param name="services">The services.</param>
    /// <param name="section">The section.</param>
    public static IDegradationBuilder AddDegradation(this IServiceCollection services, IConfigurationSection section)
    {
        ArgumentNullException.ThrowIfNull(section);
        return Add(services, new SectionConfiguration(section), section.Path);
    }

    private static Builder Add(IServiceCollection services, IConfiguration? configuration, string path)
    {
        ArgumentNullException.ThrowIfNull(services);
        if (!services.Any(service => service.ServiceType == typeof(FeatureBook)))
        {
            services.AddMetrics();
            services.AddLiveSettings<DegradeSettings>("", path, configuration: configuration);
            services.TryAddSingleton<DegradeMetrics>();
            services.TryAddSingleton(provider => new FeatureBook(
                provider.GetRequiredKeyedService<LiveSettings<DegradeSettings>>(""),
                provider.GetRequiredService<TimeProvider>(),
                provider.GetRequiredService<DegradeMetrics>(),
                provider.GetRequiredService<ILogger<FeatureBook>>()));
            services.TryAddSingleton<FallbackRunner>();
            services.TryAddSingleton<IOverrideStore, MemoryOverrideStore>();
            services.TryAddSingleton<OverrideDesk>();
            services.AddHostedService(provider => provider.GetRequiredService<OverrideDesk>());
            services.TryAddSingleton<IDegradation, Degradation>();
            services.TryAddSingleton(provider => new SystemSampler(
                provider.GetRequiredKeyedService<LiveSettings<DegradeSettings>>("").Current.Pressure.SystemRoot,
                provider.GetRequiredService<TimeProvider>()));
            services.TryAddSingleton(provider => new PressureMonitor(
                provider.GetServices<IPressureSignal>(),
                provider.GetServices<ITickListener>(),
                provider.GetRequiredService<SystemSampler>(),
                provider.GetRequiredService<FeatureBook>(),
                provider.GetRequiredKeyedService<LiveSettings<DegradeSettings>>(""),
                provider.GetRequiredService<DegradeMetrics>(),
                provider.GetRequiredService<ILogger<PressureMonitor>>(),
                provider.GetServices<IPressureSignalSource>()));
            services.AddHostedService(provider => provider.GetRequiredService<PressureMonitor>());
            services.TryAddEnumerable(ServiceDescriptor.Singleton<IHostedService, DegradationStartup>());
            services.AddHealthChecks().Add(new HealthCheckRegistration(
                PressureHealthCheck.Name,
                static provider => new PressureHealthCheck(provider.GetRequiredService<PressureMonitor>(), provider.GetRequiredService<IDegradation>()),
                HealthStatus.Unhealthy,
                (string[])["resilience", "degrade", "ready"]));
        }

        return new Builder(services);
    }

    private sealed record Builder(IServiceCollection Services) : IDegradationBuilder;
}
