using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Http;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>Marks an endpoint of the dashboard.</summary>
/// <param name="Pattern">Where the dashboard is mapped, for messages.</param>
/// <param name="CanChange">Whether the endpoint changes something, or leads to what does.</param>
internal sealed record DashboardEndpoint(string Pattern, bool CanChange);

/// <summary>Marks a dashboard that everybody may read.</summary>
internal sealed class AnonymousReading
{
    public static readonly AnonymousReading Allowed = new();

    private AnonymousReading()
    {
    }
}

/// <summary>How an endpoint of the dashboard is protected.</summary>
internal enum DashboardProtection
{
    /// <summary>By an authorization policy.</summary>
    Policy,

    /// <summary>Not at all, and that was said: it only reads.</summary>
    ReadableByAll,

    /// <summary>It changes something on a dashboard that everybody may read, and has no policy: it answers nobody.</summary>
    Closed,

    /// <summary>Not at all, and nobody has said that this is meant.</summary>
    Missing,
}

/// <summary>Finds out how an endpoint is protected, from the metadata that authorization itself goes by.</summary>
internal static class DashboardProtectionOf
{
    /// <summary>
    /// Refuses what must not be answered, whoever asks. The check at the start makes this unreachable but for changes on a dashboard that everybody may
    /// read; it stands in front of every answer nevertheless.
    /// </summary>
    /// <returns>Whether the request has been answered.</returns>
    public static bool Refuses(HttpContext context)
    {
        if (context.GetEndpoint() is { } endpoint && Endpoint(endpoint.Metadata) is DashboardProtection.Policy or DashboardProtection.ReadableByAll)
        {
            return false;
        }

        context.Response.StatusCode = StatusCodes.Status403Forbidden;
        return true;
    }

    public static DashboardProtection Endpoint(EndpointMetadataCollection metadata)
    {
        // IAllowAnonymous wins over every policy, wherever it comes from.
        bool hasPolicy = metadata.GetMetadata<IAllowAnonymous>() is null
            && (metadata.GetMetadata<IAuthorizeData>() is not null || metadata.GetMetadata<AuthorizationPolicy>() is not null);
        if (hasPolicy)
        {
            return DashboardProtection.Policy;
        }

        if (metadata.GetMetadata<AnonymousReading>() is null)
        {
            return DashboardProtection.Missing;
        }

        return metadata.GetMetadata<DashboardEndpoint>() is { CanChange: false } ? DashboardProtection.ReadableByAll : DashboardProtection.Closed;
    }
}
