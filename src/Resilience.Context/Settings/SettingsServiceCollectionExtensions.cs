using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Resilience.Settings;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers settings that validate when the host starts and reload while it runs.</summary>
public static class SettingsServiceCollectionExtensions
{
    /// <summary>
    /// Adds a keyed <see cref="LiveSettings{T}"/> that reads a section of the application's <see cref="IConfiguration"/>, if it has one.
    /// Calling it twice for a name keeps the first.
    /// </summary>
    /// <typeparam name="T">The settings.</typeparam>
    /// <param name="services">The services.</param>
    /// <param name="name">The name of the block; the DI key.</param>
    /// <param name="path">The configuration path, such as <c>Resilience:Pools:smtp</c>.</param>
    /// <param name="fallbackPath">A path whose values hold where the own one says nothing; none by default.</param>
    /// <param name="configuration">The configuration to read; the application's by default.</param>
    public static IServiceCollection AddLiveSettings<T>(this IServiceCollection services, string name, string path, string? fallbackPath = null, IConfiguration? configuration = null)
        where T : class, ISettings, new()
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(path);
        if (IsRegistered(services, typeof(T), name))
        {
            return services;
        }

        services.TryAddSingleton(TimeProvider.System);
        services.AddLogging();
        services.AddHostedService<SettingsWatcher>();
        services.TryAddKeyedSingleton(name, (provider, _) =>
        {
            try
            {
                return Make(provider);
            }
            catch (SettingsException)
            {
                // Whoever asks first, be it a service that the host makes before it validates, is told everything.
                throw new SettingsException(SettingsRegistration.CheckAll(provider));
            }
        });
        services.AddSingleton(new SettingsRegistration(typeof(T), name, path, provider => provider.GetRequiredKeyedService<LiveSettings<T>>(name), Check));
        return services;

        LiveSettings<T> Make(IServiceProvider provider)
        {
            IConfiguration? source = configuration ?? provider.GetService<IConfiguration>();
            return new LiveSettings<T>(name, path, source?.GetSection(path), fallbackPath is null ? null : source?.GetSection(fallbackPath), provider.GetServices<IConfigureOptions<T>>());
        }

        IReadOnlyList<SettingsError> Check(IServiceProvider provider)
        {
            try
            {
                Make(provider);
                return [];
            }
            catch (SettingsException exception)
            {
                return exception.Errors;
            }
        }
    }

    private static bool IsRegistered(IServiceCollection services, Type type, string name)
    {
        foreach (ServiceDescriptor service in services)
        {
            if (!service.IsKeyedService && service.ImplementationInstance is SettingsRegistration known && known.Type == type && known.Name == name)
            {
                return true;
            }
        }

        return false;
    }
}
