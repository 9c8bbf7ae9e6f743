using Resilience.Context;
using Resilience.Degrade;

namespace Storefront;

/// <summary>What the shop can do without when it must. <c>Resilience:Degrade:Features</c> switches them.</summary>
internal static class Features
{
    public static readonly Feature Recommendations = Feature.Declare("recommendations", Priority.Low);
    public static readonly Feature Comments = Feature.Declare("comments", Priority.Low);
}
