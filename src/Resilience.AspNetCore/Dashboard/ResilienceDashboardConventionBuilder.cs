using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Builder;
using Resilience.AspNetCore.Dashboard;

namespace Resilience.AspNetCore;

/// <summary>
/// Says who may see the dashboard and who may switch features in it. Conventions such as <c>RequireAuthorization("ops")</c> hold for all of it.
/// </summary>
/// <remarks>Without a policy and without <see cref="AllowAnonymousReadOnly"/> the application does not start.</remarks>
public sealed class ResilienceDashboardConventionBuilder : IEndpointConventionBuilder
{
    private readonly IEndpointConventionBuilder _all;
    private readonly IEndpointConventionBuilder _reading;
    private readonly IEndpointConventionBuilder _changing;

    internal ResilienceDashboardConventionBuilder(IEndpointConventionBuilder all, IEndpointConventionBuilder reading, IEndpointConventionBuilder changing)
    {
        _all = all;
        _reading = reading;
        _changing = changing;
    }

    /// <inheritdoc/>
    public void Add(Action<EndpointBuilder> convention) => _all.Add(convention);

    /// <inheritdoc/>
    public void Finally(Action<EndpointBuilder> finallyConvention) => _all.Finally(finallyConvention);

    /// <summary>
    /// Lets everybody who reaches the page read it: names of features, caches and pools, reasons, places in the source, and who switched what. Switching, and
    /// looking up a cache's key, still wants a policy: without one nobody can, and the page has no switches.
    /// </summary>
    public ResilienceDashboardConventionBuilder AllowAnonymousReadOnly()
    {
        _all.WithMetadata(AnonymousReading.Allowed);
        _reading.WithMetadata(new AllowAnonymousAttribute());
        return this;
    }

    /// <summary>Asks for more of those who switch features or look up keys of a cache than of those who look: these policies hold for changes, beside the ones for the whole page.</summary>
    /// <param name="policies">The names of the policies; at least one.</param>
    /// <exception cref="ArgumentException">There is none.</exception>
    public ResilienceDashboardConventionBuilder RequireAuthorizationToChange(params string[] policies)
    {
        ArgumentNullException.ThrowIfNull(policies);
        if (policies.Length == 0)
        {
            throw new ArgumentException("Name at least one policy.", nameof(policies));
        }

        _changing.RequireAuthorization(policies);
        return this;
    }
}
