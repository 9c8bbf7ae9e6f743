using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Resilience.Context;
using Resilience.Pools;
using Resilience.Settings;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers batch writers.</summary>
public static class BatchWriterServiceCollectionExtensions
{
    /// <summary>The configuration section of all batch writers; a writer's own section is below it, under its name.</summary>
    public const string SectionPath = "Resilience:Batches";

    /// <summary>
    /// Adds a batch writer: a keyed singleton <see cref="BatchWriter{T}"/> with settings in <c>Resilience:Batches:&lt;name&gt;</c>,
    /// started by the host and drained when everything that may write has stopped. A second call for the same name and type does nothing.
    /// </summary>
    /// <typeparam name="T">The item.</typeparam>
    /// <param name="services">The services.</param>
    /// <param name="name">The name; the DI key. The default name, an empty one, can be had without a key too.</param>
    /// <param name="write">Makes what writes a batch.</param>
    /// <param name="onAbandoned">Makes what takes the items that could not be written; they are only logged and counted when <see langword="null"/>.</param>
    /// <param name="configure">Configures it in code; what stands in the configuration section wins.</param>
    public static IServiceCollection AddBatchWriter<T>(
        this IServiceCollection services,
        string name,
        Func<IServiceProvider, Func<IReadOnlyList<T>, CancellationToken, ValueTask>> write,
        Func<IServiceProvider, Action<IReadOnlyList<T>, Exception?>>? onAbandoned = null,
        Action<BatchWriterOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(write);
        if (services.Any(service => service.ServiceType == typeof(BatchWriter<T>) && Equals(service.ServiceKey, name)))
        {
            return services;
        }

        string label = name.Length == 0 ? "Default" : name;
        services.AddMetrics();
        services.TryAddSingleton<BatchMetrics>();
        if (configure is not null)
        {
            services.Configure(name, configure);
        }

        services.AddLiveSettings<BatchWriterOptions>(name, $"{SectionPath}:{label}");
        services.AddKeyedSingleton(name, (provider, _) =>
        {
            BatchWriterOptions options = provider.GetRequiredKeyedService<LiveSettings<BatchWriterOptions>>(name).Current;
            return new BatchWriter<T>(
                label,
                write(provider),
                options,
                onAbandoned?.Invoke(provider),
                NamedPipelines.Find(provider, options.Pipeline, $"{SectionPath}:{label}"),
                provider.GetService<TimeProvider>(),
                provider.GetService<ILoggerFactory>()?.CreateLogger("Resilience.Pools"),
                provider.GetRequiredService<BatchMetrics>());
        });
        if (name.Length == 0)
        {
            services.AddSingleton(provider => provider.GetRequiredKeyedService<BatchWriter<T>>(name));
        }

        services.AddSingleton<IHostedBlock>(provider => new HostedBatchWriter<T>(provider.GetRequiredKeyedService<BatchWriter<T>>(name)));
        services.AddHostedService<PoolsHost>();
        return services;
    }
}
