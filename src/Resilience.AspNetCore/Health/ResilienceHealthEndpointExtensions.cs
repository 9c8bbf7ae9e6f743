using System.Diagnostics.CodeAnalysis;
using Microsoft.AspNetCore.Diagnostics.HealthChecks;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Resilience.AspNetCore;
using Resilience.AspNetCore.Health;
using Resilience.Context;

namespace Microsoft.AspNetCore.Builder;

/// <summary>Maps the health endpoints.</summary>
public static class ResilienceHealthEndpointExtensions
{
    /// <summary>
    /// Maps <c>/health/live</c>, which runs the checks tagged <c>live</c>, and <c>/health/ready</c>, which runs those tagged <c>ready</c>. A failing
    /// <c>live</c> check asks for a restart, a failing <c>ready</c> check asks for no requests: that Redis is away is at most the second.
    /// </summary>
    /// <remarks>
    /// Healthy and degraded answer 200, unhealthy answers 503. The JSON holds names, states and durations of checks; what a check says in words only if it is
    /// one of the kit's, because other checks may put a host or a connection string into it. Requests bypass admission, so that overload does
    /// not look like death.
    /// </remarks>
    /// <param name="endpoints">The application or a group.</param>
    /// <param name="pattern">The path above <c>live</c> and <c>ready</c>.</param>
    /// <returns>For conventions on both, such as <c>RequireHost</c>.</returns>
    /// <exception cref="InvalidOperationException">Neither <c>AddResilienceKit()</c> nor <c>AddHealthChecks()</c> was called.</exception>
    public static IEndpointConventionBuilder MapResilienceHealth(this IEndpointRouteBuilder endpoints, [StringSyntax("Route")] string pattern = "/health")
    {
        ArgumentNullException.ThrowIfNull(endpoints);
        ArgumentException.ThrowIfNullOrEmpty(pattern);
        if (endpoints.ServiceProvider.GetService<IServiceProviderIsService>()?.IsService(typeof(HealthCheckService)) != true)
        {
            throw new InvalidOperationException("MapResilienceHealth() needs services.AddHealthChecks(), which AddResilienceKit() includes.");
        }

        RouteGroupBuilder group = endpoints.MapGroup(pattern);
        group.BypassAdmission().WithMetadata(new RequestPriorityAttribute(Priority.Critical));
        group.MapHealthChecks("/live", Options("live"));
        group.MapHealthChecks("/ready", Options("ready"));
        return group;
    }

    private static HealthCheckOptions Options(string tag) => new()
    {
        Predicate = registration => registration.Tags.Contains(tag),
        ResponseWriter = HealthReportWriter.WriteAsync,
        AllowCachingResponses = false,
    };
}
