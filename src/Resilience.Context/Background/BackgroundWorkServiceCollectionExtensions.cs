using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Resilience.Context;
using Resilience.Settings;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers queues of background work.</summary>
public static class BackgroundWorkServiceCollectionExtensions
{
    /// <summary>The name of the queue that is had without a name.</summary>
    public const string DefaultName = "default";

    /// <summary>
    /// Adds a hosted <see cref="BackgroundWorkQueue"/>, keyed by its name; the one with the default name also without a key. Settings come
    /// from <c>Resilience:Background:{name}</c>. Calling it twice for a name keeps the first queue.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="name">The queue's name.</param>
    /// <param name="configure">Settings by code; the configuration wins over them.</param>
    /// <param name="onAbandoned">Takes work that was accepted and not run to its end; it must be quick. Those of all calls for a name are called.</param>
    public static IServiceCollection AddBackgroundWorkQueue(this IServiceCollection services, string name = DefaultName, Action<BackgroundQueueSettings>? configure = null, Action<IServiceProvider, AbandonedWork>? onAbandoned = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentException.ThrowIfNullOrEmpty(name);
        services.AddRequestScopeMonitor();
        services.AddLiveSettings<BackgroundQueueSettings>(name, $"{BackgroundQueueSettings.SectionPath}:{name}");
        if (configure is not null)
        {
            services.Configure(name, configure);
        }

        if (onAbandoned is not null)
        {
            services.AddKeyedSingleton(name, new AbandonedWorkHandler(onAbandoned));
        }

        if (services.Any(service => service.ServiceType == typeof(BackgroundWorkQueue) && name.Equals(service.ServiceKey)))
        {
            return services;
        }

        services.AddKeyedSingleton(name, static (provider, key) => Make(provider, (string)key!));
        services.AddSingleton<IHostedService>(provider => provider.GetRequiredKeyedService<BackgroundWorkQueue>(name));
        if (name == DefaultName)
        {
            services.TryAddSingleton(static provider => provider.GetRequiredKeyedService<BackgroundWorkQueue>(DefaultName));
        }

        return services;
    }

    private static BackgroundWorkQueue Make(IServiceProvider provider, string name)
    {
        LiveSettings<BackgroundQueueSettings> settings = provider.GetRequiredKeyedService<LiveSettings<BackgroundQueueSettings>>(name);
        AbandonedWorkHandler[] handlers = [.. provider.GetKeyedServices<AbandonedWorkHandler>(name)];
        return new BackgroundWorkQueue(
            name,
            () => settings.Current,
            provider.GetRequiredService<IServiceScopeFactory>(),
            provider.GetRequiredService<ScopeMonitor>(),
            handlers.Length == 0 ? null : work => Array.ForEach(handlers, handler => handler.Handle(provider, work)),
            provider.GetRequiredService<TimeProvider>(),
            provider.GetService<IHostEnvironment>()?.IsDevelopment() ?? false);
    }

    private sealed record AbandonedWorkHandler(Action<IServiceProvider, AbandonedWork> Handle);
}
