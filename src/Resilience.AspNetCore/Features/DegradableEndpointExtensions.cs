using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Resilience.AspNetCore;
using Resilience.Context;
using Resilience.Degrade;

namespace Microsoft.AspNetCore.Builder;

/// <summary>Makes endpoints degradable and says how much they matter.</summary>
public static class DegradableEndpointExtensions
{
    /// <summary>Says how much the requests of an endpoint matter: what admission refuses first, and the priority of their scope.</summary>
    /// <typeparam name="TBuilder">The kind of endpoint.</typeparam>
    /// <param name="builder">The endpoint or group.</param>
    /// <param name="priority">The priority; requests without one are <see cref="Priority.Normal"/>.</param>
    public static TBuilder WithPriority<TBuilder>(this TBuilder builder, Priority priority)
        where TBuilder : IEndpointConventionBuilder
    {
        builder.Add(endpoint => endpoint.Metadata.Add(new RequestPriorityAttribute(priority)));
        return builder;
    }

    /// <summary>
    /// Makes an endpoint part of a feature: while the feature is off, and when the endpoint fails before its response has started, the
    /// fallback answers. It runs before the request's body is read or its parameters are bound.
    /// </summary>
    /// <typeparam name="TBuilder">The kind of endpoint.</typeparam>
    /// <param name="builder">The endpoint or group.</param>
    /// <param name="feature">The feature.</param>
    /// <param name="fallback">The answer in its place; <c>503</c> with <c>Retry-After</c> when <see langword="null"/>.</param>
    public static TBuilder DegradeWith<TBuilder>(this TBuilder builder, Feature feature, Func<HttpContext, IResult>? fallback = null)
        where TBuilder : IEndpointConventionBuilder
    {
        ArgumentNullException.ThrowIfNull(feature);
        return Degrade(builder, feature, fallback is null ? null : (context, _) => fallback(context).ExecuteAsync(context));
    }

    /// <summary>The same with a fallback that takes its time; its token is cancelled at the fallback's deadline.</summary>
    /// <typeparam name="TBuilder">The kind of endpoint.</typeparam>
    /// <param name="builder">The endpoint or group.</param>
    /// <param name="feature">The feature.</param>
    /// <param name="fallback">The answer in its place.</param>
    public static TBuilder DegradeWith<TBuilder>(this TBuilder builder, Feature feature, Func<HttpContext, CancellationToken, ValueTask<IResult>> fallback)
        where TBuilder : IEndpointConventionBuilder
    {
        ArgumentNullException.ThrowIfNull(feature);
        ArgumentNullException.ThrowIfNull(fallback);
        return Degrade(builder, feature, async (context, ct) =>
        {
            IResult result = await fallback(context, ct).ConfigureAwait(false);
            await result.ExecuteAsync(context).ConfigureAwait(false);
        });
    }

    private static TBuilder Degrade<TBuilder>(TBuilder builder, Feature feature, Func<HttpContext, CancellationToken, Task>? fallback)
        where TBuilder : IEndpointConventionBuilder
    {
        // Wrapping the request delegate, rather than adding an endpoint filter, works for every kind of endpoint and saves the binding.
        builder.Add(endpoint =>
        {
            endpoint.Metadata.Add(new FeatureMetadata(feature));
            if (endpoint.RequestDelegate is { } next)
            {
                endpoint.RequestDelegate = new DegradableEndpoint(feature, next, fallback).InvokeAsync;
            }
        });
        return builder;
    }
}
