using System.Diagnostics.CodeAnalysis;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Resilience.AspNetCore;
using Resilience.AspNetCore.Dashboard;
using Resilience.Context;

namespace Microsoft.AspNetCore.Builder;

/// <summary>Maps the dashboard.</summary>
public static class DashboardEndpointRouteBuilderExtensions
{
    /// <summary>
    /// Maps the dashboard: a page served by the application itself with live figures of every block that is registered, and switches that
    /// override a feature for a while. Say who may see it: <c>.RequireAuthorization("ops")</c>.
    /// </summary>
    /// <remarks>
    /// The application does not start when the dashboard has neither an authorization policy nor
    /// <see cref="ResilienceDashboardConventionBuilder.AllowAnonymousReadOnly"/>. Its requests bypass admission: under overload it is what one wants to see.
    /// </remarks>
    /// <param name="endpoints">The application or a group.</param>
    /// <param name="pattern">The path, without parameters.</param>
    /// <exception cref="InvalidOperationException">Neither <c>AddResilienceKit()</c> nor <c>AddResilienceDashboard()</c> was called.</exception>
    /// <exception cref="ArgumentException">The path is empty or has parameters.</exception>
    public static ResilienceDashboardConventionBuilder MapResilienceDashboard(this IEndpointRouteBuilder endpoints, [StringSyntax("Route")] string pattern = "/resilience")
    {
        ArgumentNullException.ThrowIfNull(endpoints);
        ArgumentException.ThrowIfNullOrEmpty(pattern);
        pattern = pattern.TrimEnd('/');
        if (pattern.Length == 0 || pattern.AsSpan().ContainsAny('{', '}', '*'))
        {
            throw new ArgumentException("The dashboard needs a path of its own without parameters, such as '/resilience'.", nameof(pattern));
        }

        // Nothing is resolved here: settings are validated, all at once, when the host starts.
        if (endpoints.ServiceProvider.GetService<IServiceProviderIsService>()?.IsService(typeof(DashboardHub)) != true)
        {
            throw new InvalidOperationException("MapResilienceDashboard() needs services.AddResilienceDashboard(), which AddResilienceKit() includes.");
        }

        RouteGroupBuilder all = endpoints.MapGroup(pattern);
        all.BypassAdmission().WithMetadata(new RequestPriorityAttribute(Priority.Critical), new ExcludeFromDescriptionAttribute());
        RouteGroupBuilder reading = all.MapGroup("");
        reading.WithMetadata(new DashboardEndpoint(pattern, CanChange: false));
        reading.MapGet("/", DashboardPages.PageAsync);
        foreach (DashboardAsset asset in DashboardPages.Assets)
        {
            reading.MapGet("/" + asset.Name, context => DashboardPages.AssetAsync(context, asset));
        }

        reading.MapGet("/events", static context => Stream(context).EventsAsync(context)).WithRequestDeadline(Timeout.InfiniteTimeSpan);
        reading.MapGet("/state", static context => Stream(context).StateAsync(context));
        reading.MapGet("/caches/events", static context => Caches(context).EventsAsync(context));

        RouteGroupBuilder changing = all.MapGroup("");
        changing.WithMetadata(new DashboardEndpoint(pattern, CanChange: true));
        changing.MapGet("/token", static context => Changes(context).TokenAsync(context));
        changing.MapPost("/features/{name}/override", static context => Changes(context).OverrideAsync(context));
        changing.MapPost("/features/{name}/restore", static context => Changes(context).RestoreAsync(context));
        changing.MapPost("/caches/look", static context => Caches(context).LookAsync(context)); // changes nothing, but is not for everybody
        return new ResilienceDashboardConventionBuilder(all, reading, changing);
    }

    private static DashboardStream Stream(HttpContext context) => context.RequestServices.GetRequiredService<DashboardStream>();

    private static DashboardCaches Caches(HttpContext context) => context.RequestServices.GetRequiredService<DashboardCaches>();

    private static DashboardChanges Changes(HttpContext context) => context.RequestServices.GetRequiredService<DashboardChanges>();
}
