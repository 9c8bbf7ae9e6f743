using Microsoft.Extensions.DependencyInjection;
using Resilience.Hosting;

namespace Microsoft.Extensions.Hosting;

/// <summary>The one line in Program.cs.</summary>
public static class ResilienceKitHostApplicationBuilderExtensions
{
    /// <summary>
    /// Adds the whole kit to a web application or a worker, configured by its section <c>Resilience</c>; see
    /// <see cref="ResilienceKitServiceCollectionExtensions.AddResilienceKit"/>.
    /// </summary>
    /// <param name="builder">The application's builder.</param>
    /// <param name="configure">Adds caches, pools and features by name.</param>
    public static IResilienceKitBuilder AddResilienceKit(this IHostApplicationBuilder builder, Action<IResilienceKitBuilder>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        return builder.Services.AddResilienceKit(builder.Configuration, configure);
    }
}
