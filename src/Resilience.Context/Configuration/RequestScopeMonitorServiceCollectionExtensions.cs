using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Resilience.Context;
using Resilience.Settings;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers what watches request scopes.</summary>
public static class RequestScopeMonitorServiceCollectionExtensions
{
    /// <summary>
    /// Adds the <see cref="ScopeMonitor"/> with metrics, log and leak detector; settings come from <c>Resilience:Context</c>. Services that
    /// answer web requests call <c>AddRequestScopes()</c>, which includes it. Calling it twice is harmless.
    /// </summary>
    /// <param name="services">The services.</param>
    public static IServiceCollection AddRequestScopeMonitor(this IServiceCollection services)
    {
        ArgumentNullException.ThrowIfNull(services);
        if (services.Any(static service => service.ServiceType == typeof(ScopeMonitor)))
        {
            return services;
        }

        services.AddMetrics();
        services.AddLiveSettings<ContextSettings>("", ContextSettings.SectionPath);
        services.AddSingleton(static provider =>
        {
            LiveSettings<ContextSettings> settings = provider.GetRequiredKeyedService<LiveSettings<ContextSettings>>("");
            var monitor = new ScopeMonitor(settings.Current.Leak, provider.GetService<ILoggerFactory>(), provider.GetService<IMeterFactory>(), provider.GetRequiredService<TimeProvider>());
            settings.OnChange(changed => monitor.Leaks?.Apply(changed.Leak));
            return monitor;
        });
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IHostedService, DefaultMonitorService>());
        return services;
    }

    /// <summary>Makes the host's monitor the process's while the host runs, for scopes that are begun outside of a request.</summary>
    private sealed class DefaultMonitorService(ScopeMonitor monitor) : IHostedService
    {
        public Task StartAsync(CancellationToken cancellationToken)
        {
            monitor.BecomeDefault();
            return Task.CompletedTask;
        }

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
