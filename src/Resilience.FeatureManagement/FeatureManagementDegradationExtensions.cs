using Microsoft.Extensions.DependencyInjection;
using Microsoft.FeatureManagement;
using Resilience.Degrade;
using Resilience.FeatureManagement;

namespace Microsoft.FeatureManagement;

/// <summary>Lets features of Microsoft.FeatureManagement degrade.</summary>
public static class FeatureManagementDegradationExtensions
{
    /// <summary>
    /// Switches features off with the kit's degradation: a feature of the same name that is declared with <see cref="Feature.Declare"/> and off is
    /// disabled for feature management too. Adds degradation if it is not there. A second call changes nothing.
    /// </summary>
    /// <param name="builder">What <c>AddFeatureManagement()</c> gave.</param>
    public static IFeatureManagementBuilder WithDegradation(this IFeatureManagementBuilder builder)
    {
        ArgumentNullException.ThrowIfNull(builder);
        IServiceCollection services = builder.Services;
        if (services.Any(service => service.ServiceType == typeof(Marker)))
        {
            return builder;
        }

        services.AddSingleton<Marker>();
        services.AddDegradation();
        ServiceDescriptor inner = services.LastOrDefault(service => service.ServiceType == typeof(IFeatureDefinitionProvider) && !service.IsKeyedService)
            ?? throw new InvalidOperationException("WithDegradation() needs a provider of feature definitions: call it after AddFeatureManagement().");
        services.Remove(inner);
        services.Add(new ServiceDescriptor(
            typeof(IFeatureDefinitionProvider),
            provider => new DegradableDefinitionProvider(Make(inner, provider), provider.GetRequiredService<IDegradation>(), ownsInner: inner.ImplementationInstance is null),
            inner.Lifetime));
        return builder;
    }

    [System.Diagnostics.CodeAnalysis.UnconditionalSuppressMessage("Trimming", "IL2072", Justification = "ServiceDescriptor.ImplementationType keeps public constructors.")]
    private static IFeatureDefinitionProvider Make(ServiceDescriptor inner, IServiceProvider provider) =>
        (IFeatureDefinitionProvider)(inner.ImplementationInstance
            ?? inner.ImplementationFactory?.Invoke(provider)
            ?? ActivatorUtilities.CreateInstance(provider, inner.ImplementationType!));

    private sealed class Marker;
}
