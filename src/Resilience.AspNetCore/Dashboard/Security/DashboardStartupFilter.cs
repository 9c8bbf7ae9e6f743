using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>
/// Stops the start of an application whose dashboard anybody could open. It looks when the pipeline has been built and the server does not listen
/// yet: only then do the endpoints have the conventions of all groups that they stand in.
/// </summary>
internal sealed class DashboardStartupFilter : IStartupFilter
{
    public Action<IApplicationBuilder> Configure(Action<IApplicationBuilder> next) => app =>
    {
        next(app);
        foreach (Endpoint endpoint in app.ApplicationServices.GetRequiredService<EndpointDataSource>().Endpoints)
        {
            if (endpoint.Metadata.GetMetadata<DashboardEndpoint>() is { } dashboard && DashboardProtectionOf.Endpoint(endpoint.Metadata) == DashboardProtection.Missing)
            {
                throw new InvalidOperationException(
                    $"The dashboard at '{dashboard.Pattern}' is open to everybody (endpoint '{endpoint.DisplayName}'). Say who may see it, MapResilienceDashboard(...).RequireAuthorization(\"ops\"), "
                    + "or that everybody may read it and nobody switch anything: .AllowAnonymousReadOnly().");
            }
        }
    };
}
