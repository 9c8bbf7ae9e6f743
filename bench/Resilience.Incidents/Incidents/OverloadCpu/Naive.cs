using Microsoft.AspNetCore.Builder;
using Resilience.Incidents.Incidents.Overload;

namespace Resilience.Incidents.Incidents.OverloadCpu;

/// <summary>A plain service on Kestrel that gives up on requests whose callers have gone.</summary>
/// <remarks>
/// Why it fails: everything that arrives is begun. With ten times the work that the cores can do each request gets a tenth of what it
/// needs, none is ready before its caller gives up, and all of the work is thrown away. The checkout fares as badly as the suggestions.
/// </remarks>
internal static class Naive
{
    public static Task<int> ServeAsync() => ServiceHost.ServeAsync(static _ => { }, static app =>
    {
        foreach (string path in Traffic.Paths)
        {
            app.MapGet(path, Pages.RenderAsync);
        }
    });
}
