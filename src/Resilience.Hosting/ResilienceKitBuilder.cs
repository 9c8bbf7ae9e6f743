using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;

namespace Resilience.Hosting;

internal sealed class ResilienceKitBuilder(IServiceCollection services, IConfiguration configuration) : IResilienceKitBuilder
{
    public IServiceCollection Services => services;

    public IConfiguration Configuration => configuration;
}
