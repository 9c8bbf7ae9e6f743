using Microsoft.Extensions.DependencyInjection;
using Microsoft.FeatureManagement;
using Resilience.Context;
using Resilience.Degrade;

namespace Resilience.Snippets;

internal static class FeatureManagementSnippets
{
    // snippet: with-degradation
    private static readonly Feature Comments = Feature.Declare("comments", Priority.Low);

    public static void Add(IServiceCollection services)
    {
        services.AddDegradation().AddFeature(Comments);
        services.AddFeatureManagement().WithDegradation();
    }
    // end-snippet
}
