using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Polly;
using Polly.Registry;

namespace Resilience.Hosting.Pipelines;

/// <summary>A pipeline that was added to the kit by name.</summary>
internal sealed record KitPipeline(string Name, Action<IServiceProvider, ResiliencePipelineBuilder> Configure);

/// <summary>
/// The pipelines that settings name. Where the application has a registry, as <c>AddResiliencePipeline</c> of Polly's own packages makes one, it is
/// that; else one of the kit's.
/// </summary>
/// <remarks>
/// The registry itself is not registered as a service: those packages add theirs only where there is none, and what was configured for it would be lost.
/// </remarks>
internal static class KitPipelines
{
    public static void Add(IServiceCollection services) => services.TryAddSingleton<ResiliencePipelineProvider<string>>(FindOrMake);

    /// <summary>Adds the kit's pipelines to an application's registry; a name that it has already stays its.</summary>
    public static void AddTo(ResiliencePipelineProvider<string> provider, IServiceProvider services)
    {
        if (provider is ResiliencePipelineRegistry<string> registry)
        {
            foreach (KitPipeline pipeline in services.GetServices<KitPipeline>())
            {
                registry.TryAddBuilder(pipeline.Name, (builder, _) => pipeline.Configure(services, builder));
            }
        }
    }

    private static ResiliencePipelineProvider<string> FindOrMake(IServiceProvider services)
    {
        ResiliencePipelineRegistry<string> registry = services.GetService<ResiliencePipelineRegistry<string>>()
            ?? new ResiliencePipelineRegistry<string>(new ResiliencePipelineRegistryOptions<string>
            {
                BuilderFactory = () => new ResiliencePipelineBuilder { TimeProvider = services.GetService<TimeProvider>() },
            });
        AddTo(registry, services);
        return registry;
    }
}
