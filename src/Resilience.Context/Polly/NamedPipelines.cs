using Microsoft.Extensions.DependencyInjection;
using Polly;
using Polly.Registry;
using Resilience.Settings;

namespace Resilience.Context;

/// <summary>Finds the Polly pipelines that settings name.</summary>
public static class NamedPipelines
{
    /// <summary>The pipeline of a name, from the <see cref="ResiliencePipelineProvider{TKey}"/> of the container.</summary>
    /// <param name="services">The container.</param>
    /// <param name="name">The name; none when <see langword="null"/> or empty.</param>
    /// <param name="section">The configuration path of the settings that name it, for the error.</param>
    /// <param name="setting">The setting that names it.</param>
    /// <returns>The pipeline; <see langword="null"/> when none is named.</returns>
    /// <exception cref="SettingsException">There is no provider, or it has no pipeline of this name.</exception>
    public static ResiliencePipeline? Find(IServiceProvider services, string? name, string section, string setting = "Pipeline")
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(section);
        return string.IsNullOrEmpty(name) ? null
            : Check(services, name, $"{section}:{setting}", out ResiliencePipeline? pipeline) is { } error ? throw new SettingsException([error])
            : pipeline;
    }

    /// <summary>What is wrong with the name of a pipeline; <see langword="null"/> when there is such a pipeline, or none is named.</summary>
    /// <param name="services">The container.</param>
    /// <param name="name">The name.</param>
    /// <param name="section">The configuration path of the settings that name it.</param>
    /// <param name="setting">The setting that names it.</param>
    public static SettingsError? Check(IServiceProvider services, string? name, string section, string setting = "Pipeline")
    {
        ArgumentNullException.ThrowIfNull(services);
        return string.IsNullOrEmpty(name) ? null : Check(services, name, $"{section}:{setting}", out _);
    }

    private static SettingsError? Check(IServiceProvider services, string name, string path, out ResiliencePipeline? pipeline)
    {
        pipeline = null;
        return services.GetService<ResiliencePipelineProvider<string>>() is not { } provider
            ? new SettingsError(path, name, "needs a ResiliencePipelineProvider<string>, which AddResilienceKit() or Microsoft.Extensions.Resilience registers")
            : provider.TryGetPipeline(name, out pipeline) ? null
            : new SettingsError(path, name, "is no pipeline that is registered; add it with kit.AddPipeline(name, …) or services.AddResiliencePipeline(name, …)");
    }
}
