using Resilience.Context;

namespace Resilience.Degrade;

/// <summary>
/// Makes an interface a feature: a decorator is generated at compile time that runs each asynchronous member with
/// <see cref="IDegradation.RunAsync"/> (the work, or the fallback when the feature is off or the work fails) and sends synchronous members to the
/// fallback while the feature is off. For <c>IReviews</c> the generated class is <c>ReviewsFeature</c>, with the feature itself and
/// <c>AddReviewsFeature&lt;TPrimary, TFallback&gt;()</c>.
/// </summary>
/// <param name="name">The name of the feature.</param>
[AttributeUsage(AttributeTargets.Interface)]
public sealed class FeatureAttribute(string name) : Attribute
{
    /// <summary>The name of the feature.</summary>
    public string Name { get; } = name;

    /// <summary>How much it matters; <see cref="Priority.Normal"/> by default.</summary>
    public Priority Priority { get; set; } = Priority.Normal;

    /// <summary>Its state when nobody says otherwise; <see cref="FeatureState.Normal"/> by default.</summary>
    public FeatureState Default { get; set; }

    /// <summary>Whether it may only fail closed; false by default. Then all members must be asynchronous.</summary>
    public bool SecurityCritical { get; set; }
}
