using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;

namespace Resilience.Hosting;

/// <summary>What <c>AddResilienceKit</c> returns: the place to add caches, pools and features by name.</summary>
public interface IResilienceKitBuilder
{
    /// <summary>The services that are added to.</summary>
    IServiceCollection Services { get; }

    /// <summary>The configuration that the kit reads; its section <c>Resilience</c> holds everything.</summary>
    IConfiguration Configuration { get; }
}
