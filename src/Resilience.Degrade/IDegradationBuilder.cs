using Resilience.Degrade;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds to degradation.</summary>
public interface IDegradationBuilder
{
    /// <summary>The services.</summary>
    IServiceCollection Services { get; }
}

/// <summary>What can be added to degradation.</summary>
public static class DegradationBuilderExtensions
{
    /// <summary>
    /// Says that a feature belongs to the application: its static field is declared before the configuration is looked at, and so its name
    /// is not taken for a typing mistake. Needed only for features whose first use comes after the start.
    /// </summary>
    /// <param name="builder">The builder.</param>
    /// <param name="feature">The feature.</param>
    public static IDegradationBuilder AddFeature(this IDegradationBuilder builder, Feature feature)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(feature);
        return builder;
    }
}
