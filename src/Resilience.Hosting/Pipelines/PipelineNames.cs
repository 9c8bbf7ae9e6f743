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
        var errors = new List<SettingsError>();
        foreach (SettingsRegistration registration in registrations)
        {
            // Settings that are wrong in another way are told by those who check them; getting them would have everything checked, this too.
            bool mayName = registration.Type == typeof(CacheOptions) || registration.Type == typeof(PoolOptions) || registration.Type == typeof(BatchWriterOptions);
            if (mayName && registration.Check(services).Count == 0)
            {
                Check(registration.Resolve(services), errors);
            }
        }

        return errors;
    }

    private void Check(ILiveSettings settings, List<SettingsError> errors)
    {
        switch (settings)
        {
            case LiveSettings<CacheOptions> cache:
                Check(cache.Current.LoadPipeline, cache.Path, "LoadPipeline", errors);
                Check(cache.Current.Shared.Pipeline, $"{cache.Path}:Shared", "Pipeline", errors);
                break;
            case LiveSettings<PoolOptions> pool:
                Check(pool.Current.Pipeline, pool.Path, "Pipeline", errors);
                break;
            case LiveSettings<BatchWriterOptions> batches:
                Check(batches.Current.Pipeline, batches.Path, "Pipeline", errors);
                break;
        }
    }

    private void Check(string? name, string section, string setting, List<SettingsError> errors)
    {
        if (NamedPipelines.Check(services, name, section, setting) is { } error)
        {
            errors.Add(error);
        }
    }
}
