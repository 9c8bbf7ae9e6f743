using System.Data.Common;
using Resilience.Pools;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers pooled data sources.</summary>
public static class PooledDbServiceCollectionExtensions
{
    /// <summary>
    /// Adds a data source over any ADO.NET provider: keyed singletons <see cref="PooledDbDataSource"/>, <see cref="DbDataSource"/> and
    /// <see cref="ResourcePool{T}"/> of <see cref="DbConnection"/>, with settings in <c>Resilience:Pools:&lt;name&gt;</c>. The default
    /// name, an empty one, can be had without a key too. A second call for a name does nothing.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="name">The name.</param>
    /// <param name="createConnection">Gives what makes a closed connection of the provider, the provider's own pooling off (<c>Pooling=false</c>).</param>
    /// <param name="configure">Sets what to know about the database.</param>
    public static PoolBuilder AddPooledDbDataSource(this IServiceCollection services, string name, Func<IServiceProvider, Func<DbConnection>> createConnection, Action<PooledDbOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(createConnection);
        if (services.Any(service => service.ServiceType == typeof(PooledDbDataSource) && Equals(service.ServiceKey, name)))
        {
            return new PoolBuilder(services, name);
        }

        var options = new PooledDbOptions();
        configure?.Invoke(options);
        PoolBuilder builder = services.AddResourcePool<DbConnection>(name, provider => PooledDbDataSource.CreateFactory(createConnection(provider), options));
        services.AddKeyedSingleton(name, (provider, _) => new PooledDbDataSource(provider.GetRequiredKeyedService<ResourcePool<DbConnection>>(name), createConnection(provider), ownsPool: false));
        services.AddKeyedSingleton<DbDataSource>(name, (provider, _) => provider.GetRequiredKeyedService<PooledDbDataSource>(name));
        if (name.Length == 0)
        {
            services.AddSingleton(provider => provider.GetRequiredKeyedService<PooledDbDataSource>(name));
            services.AddSingleton<DbDataSource>(provider => provider.GetRequiredKeyedService<PooledDbDataSource>(name));
        }

        return builder;
    }
}
