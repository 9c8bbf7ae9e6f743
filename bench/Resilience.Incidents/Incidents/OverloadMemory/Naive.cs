using Microsoft.AspNetCore.Builder;
using Resilience.Incidents.Incidents.Overload;

namespace Resilience.Incidents.Incidents.OverloadMemory;

/// <summary>A buffer for each report that is asked for.</summary>
/// <remarks>
/// Why it fails: memory is the one resource that nobody waits for in line. Each request takes its buffer as long as there is one, the
/// collector works ever harder for ever less, and at the limit allocations fail everywhere at once: in the checkout, in the server, in
/// the code that handles the failure.
/// </remarks>
internal static class Naive
{
    public static Task<int> ServeAsync() => ServiceHost.ServeAsync(static _ => { }, static app =>
    {
        app.MapGet("/checkout", Exports.CheckoutAsync);
        app.MapGet("/page", static context => Exports.ExportAsync(new byte[Exports.BufferBytes], context));
        app.MapGet("/similar", static context => Exports.ExportAsync(new byte[Exports.BufferBytes], context));
    });
}
