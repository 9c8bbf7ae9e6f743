using Microsoft.Extensions.DependencyInjection;
using Polly.Registry;
using Resilience.Caching;
using Resilience.Context;
using Resilience.Pools;
using Resilience.Settings;

namespace Resilience.Hosting.Pipelines;

/// <summary>Finds settings that name a pipeline which nobody has registered, before a block is made from them.</summary>
internal sealed class PipelineNames(IServiceProvider services, IEnumerable<SettingsRegistration> registrations) : ISettingsCheck
{
    public IEnumerable<SettingsError> Check()
    {
        KitPipelines.AddTo(services.GetRequiredService<ResiliencePipelineProvider<string>>(), services);
        return registrations
            .Where(static registration => registration.Type == typeof(CacheOptions) || registration.Type == typeof(PoolOptions) || registration.Type == typeof(BatchWriterOptions))
            .DistinctBy(static registration => (registration.Type, registration.Name))
            // Settings that are wrong in another way are told by those who check them; getting them would have everything checked, this too.
            .Where(registration => registration.Check(services).Count == 0)
            .SelectMany(Named)
            .Select(named => NamedPipelines.Check(services, named.Name, named.Section, named.Setting))
            .OfType<SettingsError>();
    }

    private IEnumerable<(string? Name, string Section, string Setting)> Named(SettingsRegistration registration) => registration.Resolve(services) switch
    {
        LiveSettings<CacheOptions> cache => [(cache.Current.LoadPipeline, cache.Path, "LoadPipeline"), (cache.Current.Shared.Pipeline, $"{cache.Path}:Shared", "Pipeline")],
        LiveSettings<PoolOptions> pool => [(pool.Current.Pipeline, pool.Path, "Pipeline")],
        LiveSettings<BatchWriterOptions> batches => [(batches.Current.Pipeline, batches.Path, "Pipeline")],
        _ => [],
    };
}
