using Microsoft.FeatureManagement;
using Resilience.Degrade;

namespace Resilience.FeatureManagement;

/// <summary>
/// Puts degradation in front of the definitions of features: while a declared feature is off, its definition is "disabled", whatever filters it has. All
/// that asks for definitions follows: feature managers, snapshots, <c>[FeatureGate]</c>, variants.
/// </summary>
/// <remarks>Thread-safe. Within a request scope all answers come from one snapshot, as everywhere.</remarks>
/// <param name="inner">What has the definitions.</param>
/// <param name="degradation">The states of features.</param>
/// <param name="ownsInner">Whether the inner provider ends with this one, as the container would have ended it.</param>
internal sealed class DegradableDefinitionProvider(IFeatureDefinitionProvider inner, IDegradation degradation, bool ownsInner) : IFeatureDefinitionProvider, IAsyncDisposable, IDisposable
{
    public async Task<FeatureDefinition> GetFeatureDefinitionAsync(string featureName)
    {
        if (!Feature.TryGet(featureName, out Feature? feature))
        {
            return await inner.GetFeatureDefinitionAsync(featureName).ConfigureAwait(false);
        }

        if (IsOff(feature))
        {
            return Disabled(featureName);
        }

        // A feature that only this process declares is on while nothing switches it off.
        return await inner.GetFeatureDefinitionAsync(featureName).ConfigureAwait(false) ?? Enabled(featureName);
    }

    public async IAsyncEnumerable<FeatureDefinition> GetAllFeatureDefinitionsAsync()
    {
        var seen = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        await foreach (FeatureDefinition definition in inner.GetAllFeatureDefinitionsAsync().ConfigureAwait(false))
        {
            seen.Add(definition.Name);
            yield return Feature.TryGet(definition.Name, out Feature? feature) && IsOff(feature) ? Disabled(definition.Name) : definition;
        }

        foreach (Feature feature in Feature.All)
        {
            if (!seen.Contains(feature.Name))
            {
                yield return IsOff(feature) ? Disabled(feature.Name) : Enabled(feature.Name);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (ownsInner && inner is IAsyncDisposable asynchronous)
        {
            await asynchronous.DisposeAsync().ConfigureAwait(false);
        }
        else
        {
            Dispose();
        }
    }

    public void Dispose()
    {
        if (ownsInner)
        {
            (inner as IDisposable)?.Dispose();
        }
    }

    private bool IsOff(Feature feature) => degradation.Decide(feature).State == FeatureState.Off;

    private static FeatureDefinition Disabled(string name) => new() { Name = name, Status = FeatureStatus.Disabled };

    private static FeatureDefinition Enabled(string name) => new() { Name = name, EnabledFor = [new FeatureFilterConfiguration { Name = "AlwaysOn" }] };
}
