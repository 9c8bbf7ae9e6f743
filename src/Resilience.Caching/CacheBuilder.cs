using Microsoft.Extensions.DependencyInjection;

namespace Resilience.Caching;

/// <summary>What <c>AddResilientCache</c> returns: where more is said about one cache.</summary>
public sealed class CacheBuilder
{
    internal CacheBuilder(IServiceCollection services, string name)
    {
        Services = services;
        Name = name;
    }

    /// <summary>The services.</summary>
    public IServiceCollection Services { get; }

    /// <summary>The cache's name.</summary>
    public string Name { get; }
}
