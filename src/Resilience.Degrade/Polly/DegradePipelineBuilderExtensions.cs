using System.Diagnostics.CodeAnalysis;
using System.Threading.RateLimiting;
using Resilience.Context;
using Resilience.Degrade;

namespace Polly;

/// <summary>Strategies for Polly pipelines.</summary>
public static class DegradePipelineBuilderExtensions
{
    /// <summary>Ends a call with <see cref="FeatureUnavailableException"/> while the feature is off, so that a fallback strategy outside can answer.</summary>
    /// <typeparam name="TBuilder">The kind of builder.</typeparam>
    /// <param name="builder">The builder.</param>
    /// <param name="feature">The feature.</param>
    /// <param name="degradation">The states of features.</param>
    public static TBuilder AddDegradation<TBuilder>(this TBuilder builder, Feature feature, IDegradation degradation)
        where TBuilder : ResiliencePipelineBuilderBase
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(feature);
        ArgumentNullException.ThrowIfNull(degradation);
        return Add(builder, new FeatureStrategy(feature, degradation), "Degradation");
    }

    /// <summary>Asks for admission before each call; refuses with <see cref="RefusedException"/>. The priority is that of the request scope.</summary>
    /// <typeparam name="TBuilder">The kind of builder.</typeparam>
    /// <param name="builder">The builder.</param>
    /// <param name="admission">The controller.</param>
    /// <param name="priority">The priority where there is no request scope.</param>
    public static TBuilder AddAdmission<TBuilder>(this TBuilder builder, AdmissionController admission, Priority priority = Priority.Normal)
        where TBuilder : ResiliencePipelineBuilderBase
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(admission);
        return Add(builder, new AdmissionStrategy(admission, priority), "Admission");
    }

    /// <summary>
    /// Takes a permit before each call; refuses with <see cref="RefusedException"/>. An <see cref="AdaptiveConcurrencyLimiter"/> is told how each call
    /// went: refusals, timeouts and HTTP's 429, 502, 503 and 504 are drops, other failures and cancellation by the caller are ignored.
    /// </summary>
    /// <typeparam name="TBuilder">The kind of builder.</typeparam>
    /// <param name="builder">The builder.</param>
    /// <param name="limiter">The limiter; it belongs to the caller.</param>
    public static TBuilder AddLimiter<TBuilder>(this TBuilder builder, RateLimiter limiter)
        where TBuilder : ResiliencePipelineBuilderBase
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(limiter);
        return Add(builder, new LimiterStrategy(limiter), "Limiter");
    }

    /// <summary>Refuses calls here that the backend would refuse, by the priority of the request scope; see <see cref="ClientThrottle"/>.</summary>
    /// <typeparam name="TBuilder">The kind of builder.</typeparam>
    /// <param name="builder">The builder.</param>
    /// <param name="throttle">The throttle, one per backend.</param>
    /// <param name="isOverload">
    /// Which exceptions mean "too much"; when <see langword="null"/> refusals, timeouts, and an <see cref="HttpRequestException"/> without a status or with 429,
    /// 502, 503 or 504. An <see cref="HttpResponseMessage"/> with one of those means it too.
    /// </param>
    public static TBuilder AddClientThrottle<TBuilder>(this TBuilder builder, ClientThrottle throttle, Func<Exception, bool>? isOverload = null)
        where TBuilder : ResiliencePipelineBuilderBase
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(throttle);
        return Add(builder, new ThrottleStrategy(throttle, isOverload ?? DegradeStrategy.IsOverload), "ClientThrottle");
    }

    [UnconditionalSuppressMessage("Trimming", "IL2026", Justification = "The options are our own and have no data annotations to validate.")]
    private static TBuilder Add<TBuilder>(TBuilder builder, ResilienceStrategy strategy, string name)
        where TBuilder : ResiliencePipelineBuilderBase =>
        builder.AddStrategy(_ => strategy, new DegradeStrategyOptions(name));
}
