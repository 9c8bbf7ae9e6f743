using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Degrade;

namespace Resilience.Hosting.Tests.Wiring;

/// <summary>A store of the application's own stays, whatever way it was registered.</summary>
public sealed class OverrideStoreWiringTests
{
    [Theory]
    [InlineData("type")]
    [InlineData("instance")]
    [InlineData("factory")]
    public async Task AddResilienceKit_RedisAndASigningKeyButAStoreOfOnesOwn_TheOwnStays(string how)
    {
        var services = new ServiceCollection();
        _ = how switch
        {
            "type" => services.AddSingleton<IOverrideStore, OwnStore>(),
            "instance" => services.AddSingleton<IOverrideStore>(new OwnStore()),
            _ => services.AddSingleton<IOverrideStore>(static _ => new OwnStore()),
        };
        services.AddResilienceKit(Configuration());
        await using ServiceProvider provider = services.BuildServiceProvider();
        Assert.IsType<OwnStore>(provider.GetRequiredService<IOverrideStore>());
    }

    [Fact]
    public void AddResilienceKit_RedisAndASigningKey_OverridesAreShared()
    {
        var services = new ServiceCollection();
        services.AddResilienceKit(Configuration());
        ServiceDescriptor store = services.Last(static service => service.ServiceType == typeof(IOverrideStore));
        Assert.NotNull(store.ImplementationFactory);
    }

    private static IConfigurationRoot Configuration() => new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?>(StringComparer.Ordinal)
    {
        ["Resilience:Redis:Configuration"] = "127.0.0.1:1,abortConnect=false",
        ["Resilience:Degrade:Overrides:SigningKey"] = Convert.ToBase64String(new byte[32]),
    }).Build();

    public sealed class OwnStore : IOverrideStore
    {
        public ValueTask<IReadOnlyList<OverrideCommand>> LoadAsync(CancellationToken cancellationToken) => new([]);

        public ValueTask<OverrideCommand> AppendAsync(OverrideCommand command, CancellationToken cancellationToken) => new(command);

        public async IAsyncEnumerable<OverrideCommand> WatchAsync([System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
        {
            await Task.Delay(Timeout.Infinite, cancellationToken);
            yield break;
        }
    }
}
