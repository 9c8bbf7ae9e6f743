using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Resilience.Context;
using Resilience.Pools;
using Resilience.Settings;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers pools.</summary>
public static class PoolServiceCollectionExtensions
{
    /// <summary>The configuration section of all pools; a pool's own section is below it, under its name.</summary>
    public const string SectionPath = "Resilience:Pools";

    /// <summary>
    /// Adds a pool: a keyed singleton <see cref="ResourcePool{T}"/> with settings in <c>Resilience:Pools:&lt;name&gt;</c> over those in
    /// <c>Resilience:Pools:Default</c>, started and drained by the host, with metrics and a health check. Nothing is created before the
    /// host starts. A second call for the same name and type does nothing.
    /// </summary>
    /// <typeparam name="T">The resource.</typeparam>
    /// <param name="services">The services.</param>
    /// <param name="name">The name; the DI key. The default name, an empty one, can be had without a key too.</param>
    /// <param name="factory">Makes the factory of the resources.</param>
    public static PoolBuilder AddResourcePool<T>(this IServiceCollection services, string name, Func<IServiceProvider, IResourceFactory<T>> factory)
        where T : class
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(factory);
        var builder = new PoolBuilder(services, name);
        if (services.Any(service => service.ServiceType == typeof(ResourcePool<T>) && Equals(service.ServiceKey, name)))
        {
            return builder;
        }

        string label = name.Length == 0 ? "Default" : name;
        services.AddMetrics();
        services.TryAddSingleton<PoolMetrics>();
        services.AddLiveSettings<PoolOptions>(Options.Options.DefaultName, $"{SectionPath}:Default");
        services.AddLiveSettings<PoolOptions>(name, $"{SectionPath}:{label}", name.Length == 0 ? null : $"{SectionPath}:Default");
        services.AddKeyedSingleton(name, (provider, _) => Create(provider, name, label, factory(provider)));
        services.AddSingleton<IResourcePool>(provider => provider.GetRequiredKeyedService<ResourcePool<T>>(name));
        if (name.Length == 0)
        {
            services.AddSingleton(provider => provider.GetRequiredKeyedService<ResourcePool<T>>(name));
        }

        services.AddSingleton<IHostedBlock>(provider => new HostedPool<T>(provider.GetRequiredKeyedService<ResourcePool<T>>(name)));
        services.AddHostedService<PoolsHost>();
        services.AddHealthChecks().Add(new HealthCheckRegistration(
            $"pool:{label}{(name.Length == 0 ? $":{typeof(T).Name}" : "")}",
            provider =>
            {
                ResourcePool<T> pool = provider.GetRequiredKeyedService<ResourcePool<T>>(name);
                return new PoolHealthCheck(pool, () => pool.Options.LeakThreshold);
            },
            failureStatus: null,
            tags: ["ready", "pool"]));
        return builder;
    }

    /// <summary>Adds a pool whose factory is a delegate; see the fuller overload.</summary>
    /// <typeparam name="T">The resource.</typeparam>
    /// <param name="services">The services.</param>
    /// <param name="name">The name.</param>
    /// <param name="create">Makes a resource; it is disposed when the pool gives it up.</param>
    public static PoolBuilder AddResourcePool<T>(this IServiceCollection services, string name, Func<IServiceProvider, CancellationToken, ValueTask<T>> create)
        where T : class
    {
        ArgumentNullException.ThrowIfNull(create);
        return services.AddResourcePool<T>(name, provider => new ResourceFactory<T>(cancellationToken => create(provider, cancellationToken)));
    }

    /// <summary>Adds the default pool of a type; see the fuller overload.</summary>
    /// <typeparam name="T">The resource.</typeparam>
    /// <param name="services">The services.</param>
    /// <param name="factory">Makes the factory of the resources.</param>
    public static PoolBuilder AddResourcePool<T>(this IServiceCollection services, Func<IServiceProvider, IResourceFactory<T>> factory)
        where T : class => services.AddResourcePool(Options.Options.DefaultName, factory);

    internal static bool IsDevelopment(IServiceProvider provider) => provider.GetService<IHostEnvironment>()?.IsDevelopment() ?? false;

    private static ResourcePool<T> Create<T>(IServiceProvider provider, string name, string label, IResourceFactory<T> factory)
        where T : class
    {
        LiveSettings<PoolOptions> settings = provider.GetRequiredKeyedService<LiveSettings<PoolOptions>>(name);
        PoolOptions options = settings.Current.Copy();
        options.DetectNestedAcquire ??= IsDevelopment(provider) ? true : null;
        var pool = new ResourcePool<T>(
            label,
            factory,
            options,
            provider.GetService<TimeProvider>(),
            provider.GetService<ILoggerFactory>()?.CreateLogger("Resilience.Pools"),
            provider.GetRequiredService<PoolMetrics>(),
            provider.GetKeyedService<PoolAdmission>(name),
            bound: null)
        {
            Pipeline = NamedPipelines.Find(provider, options.Pipeline, $"{SectionPath}:{label}"),
        };
        settings.OnChange(pool.Apply);
        return pool;
    }
}
