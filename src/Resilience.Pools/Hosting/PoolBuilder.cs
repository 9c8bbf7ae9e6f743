using Microsoft.Extensions.DependencyInjection;

namespace Resilience.Pools;

/// <summary>Goes on with the registration of one pool.</summary>
public sealed class PoolBuilder
{
    internal PoolBuilder(IServiceCollection services, string name) => (Services, Name) = (services, name);

    /// <summary>The services.</summary>
    public IServiceCollection Services { get; }

    /// <summary>The name of the pool: options name, DI key and metric tag at once.</summary>
    public string Name { get; }

    /// <summary>Configures the pool in code; what stands in the configuration section wins over it.</summary>
    /// <param name="configure">Sets options.</param>
    public PoolBuilder Configure(Action<PoolOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(configure);
        Services.Configure(Name, configure);
        return this;
    }

    /// <summary>Puts a rate limit in front of the pool; it takes the place of <see cref="PoolOptions.RateLimit"/>.</summary>
    /// <param name="admission">Makes it or finds it.</param>
    public PoolBuilder WithAdmission(Func<IServiceProvider, PoolAdmission> admission)
    {
        ArgumentNullException.ThrowIfNull(admission);
        Services.AddKeyedSingleton(Name, (provider, _) => admission(provider));
        return this;
    }
}
