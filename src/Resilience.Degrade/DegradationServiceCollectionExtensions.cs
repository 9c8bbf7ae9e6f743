using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Resilience.Degrade;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers degradation.</summary>
public static class DegradationServiceCollectionExtensions
{
    /// <summary>The configuration path by default.</summary>
    public const string DefaultPath = "Resilience:Degrade";

    /// <summary>
    /// Adds <see cref="IDegradation"/> with settings from the application's configuration at <c>Resilience:Degrade</c>. Calling it again changes nothing.
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
                provider.GetRequiredKeyedService<Resilience.Settings.LiveSettings<DegradeSettings>>(""),
                provider.GetRequiredService<TimeProvider>(),
                provider.GetRequiredService<DegradeMetrics>(),
                provider.GetRequiredService<Microsoft.Extensions.Logging.ILogger<FeatureBook>>()));
            services.TryAddSingleton<FallbackRunner>();
            services.TryAddSingleton<IDegradation, Degradation>();
            services.TryAddEnumerable(ServiceDescriptor.Singleton<IHostedService, DegradationStartup>());
        }

        return new Builder(services);
    }

    private sealed record Builder(IServiceCollection Services) : IDegradationBuilder;
}
