using Microsoft.Extensions.DependencyInjection;
using Microsoft.FeatureManagement;
using Resilience.Context;

namespace Resilience.Degrade.Tests.FeatureManagement;

public sealed class WithDegradationTests
{
    private static readonly Feature Managed = Feature.Declare("m-managed", Priority.Low);

    [Fact]
    public async Task IsEnabled_FollowsTheDegradation()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(
            new() { ["Features:m-managed"] = "Off" },
            builder => builder.AddFeature(Managed).Services.AddFeatureManagement().WithDegradation().WithDegradation());
        var features = host.Services.GetRequiredService<IFeatureManager>();
        Assert.False(await features.IsEnabledAsync("m-managed"));
        host.Reload(new() { ["Features:m-managed"] = "On" });
        FeatureDefinition definition = await host.Services.GetRequiredService<IFeatureDefinitionProvider>().GetFeatureDefinitionAsync("m-managed");
        Assert.Equal("AlwaysOn", Assert.Single(definition.EnabledFor).Name);
        Assert.True(await features.IsEnabledAsync("m-managed"));
        await host.Degradation.OverrideAsync(Managed, FeatureState.Off, "test", "test");
        Assert.False(await features.IsEnabledAsync("m-managed"));
        Assert.False(await features.IsEnabledAsync("m-somebody-elses"));
        var variants = host.Services.GetRequiredService<IVariantFeatureManager>();
        Assert.False(await variants.IsEnabledAsync("m-managed"));
    }

    [Fact]
    public async Task IsEnabled_WithinARequest_DoesNotFlipHalfWay()
    {
        await using DegradeHost host = await DegradeHost.StartAsync(null, builder => builder.AddFeature(Managed).Services.AddFeatureManagement().WithDegradation());
        var features = host.Services.GetRequiredService<IFeatureManager>();
        using (RequestScope.Begin())
        {
            Assert.True(await features.IsEnabledAsync("m-managed"));
            await host.Degradation.OverrideAsync(Managed, FeatureState.Off, "test", "test");
            Assert.True(await features.IsEnabledAsync("m-managed"));
        }

        Assert.False(await features.IsEnabledAsync("m-managed"));
        Assert.Contains("m-managed", await NamesAsync(features));
    }

    private static async Task<List<string>> NamesAsync(IFeatureManager features)
    {
        var names = new List<string>();
        await foreach (string name in features.GetFeatureNamesAsync())
        {
            names.Add(name);
        }

        return names;
    }
}
