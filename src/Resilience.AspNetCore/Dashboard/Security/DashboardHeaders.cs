using Microsoft.AspNetCore.Http;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>What every answer of the dashboard says to the browser.</summary>
internal static class DashboardHeaders
{
    // Scripts and styles come from this origin as files: nothing inline runs, and no string becomes markup (trusted types).
    private const string Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        + "form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

    public static void Write(HttpContext context)
    {
        IHeaderDictionary headers = context.Response.Headers;
        headers.ContentSecurityPolicy = Policy;
        headers.CacheControl = "no-store";
        headers.XFrameOptions = "DENY";
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "no-referrer";
        headers["Cross-Origin-Opener-Policy"] = "same-origin";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";
    }

    /// <summary>Whether a request comes from a page of this very origin, or from no page at all.</summary>
    public static bool IsSameOrigin(HttpRequest request)
    {
        IHeaderDictionary headers = request.Headers;
        if (headers.TryGetValue("Sec-Fetch-Site", out var site))
        {
            return site.Count == 1 && site[0] == "same-origin";
        }

        // Browsers say where they come from on https and on localhost alone. The scheme is left out of the comparison: behind a proxy that
        // ends TLS it differs.
        if (headers.Origin.Count == 0)
        {
            return true;
        }

        return headers.Origin.Count == 1
            && Uri.TryCreate(headers.Origin[0], UriKind.Absolute, out Uri? origin)
            && string.Equals(origin.Authority, WithoutDefaultPort(request.Host.Value, origin), StringComparison.OrdinalIgnoreCase);
    }

    private static string? WithoutDefaultPort(string? host, Uri origin)
    {
        string suffix = origin.Scheme == "https" ? ":443" : ":80";
        return host is not null && host.EndsWith(suffix, StringComparison.Ordinal) ? host[..^suffix.Length] : host;
    }
}
