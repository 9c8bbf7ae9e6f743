using Microsoft.Extensions.DependencyInjection;
using Microsoft.FeatureManagement;

namespace Resilience.Degrade.Tests.FeatureManagement;

/// <summary>What the container would have disposed is disposed all the same, though something stands in front of it now.</summary>
public sealed class DefinitionProviderLifetimeTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Dispose_ProviderThatTheContainerMade_EndsWithTheContainer(bool asynchronously)
    {
        var definitions = new Definitions();
        ServiceProvider provider = Build(services => services.AddSingleton<IFeatureDefinitionProvider>(_ => definitions));
        provider.GetRequiredService<IFeatureDefinitionProvider>();
        if (asynchronously)
        {
            await provider.DisposeAsync();
        }
        else
        {
            provider.Dispose();
        }

        Assert.Equal(1, definitions.Disposals);
    }

    [Fact]
    public void Dispose_ProviderThatWasHandedOver_StaysItsMakers()
    {
        var definitions = new Definitions();
        using (ServiceProvider provider = Build(services => services.AddSingleton<IFeatureDefinitionProvider>(definitions)))
        {
            provider.GetRequiredService<IFeatureDefinitionProvider>();
        }

        Assert.Equal(0, definitions.Disposals);
    }

    private static ServiceProvider Build(Action<IServiceCollection> add)
    {
        var services = new ServiceCollection();
        add(services);
        services.AddFeatureManagement().WithDegradation();
        return services.BuildServiceProvider();
    }

    private sealed class Definitions : IFeatureDefinitionProvider, IDisposable
    {
        public int Disposals { get; private set; }

        public Task<FeatureDefinition> GetFeatureDefinitionAsync(string featureName) => Task.FromResult(new FeatureDefinition { Name = featureName });

        public async IAsyncEnumerable<FeatureDefinition> GetAllFeatureDefinitionsAsync()
        {
            await Task.CompletedTask;
            yield break;
        }

        public void Dispose() => Disposals++;
    }
}
