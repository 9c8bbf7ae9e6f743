using Microsoft.AspNetCore.Http;

namespace Resilience.Incidents.Incidents.OverloadMemory;

/// <summary>Reports that are put together in a buffer of 4 MB and kept while a slow caller takes them in, for 600 ms; a checkout takes 16 KB.</summary>
internal static class Exports
{
    public const int BufferBytes = 4 * 1024 * 1024;

    /// <summary>What the process may use: a container of 400 MB, so to say.</summary>
    public const long HeapLimit = 400L * 1024 * 1024;

    public static async Task ExportAsync(byte[] buffer, HttpContext context)
    {
        Random.Shared.NextBytes(buffer.AsSpan(0, 4096));
        await Task.Delay(600, context.RequestAborted);
        context.Response.Headers.ContentLength = 64;
        await context.Response.Body.WriteAsync(buffer.AsMemory(0, 64), context.RequestAborted);
    }

    public static async Task CheckoutAsync(HttpContext context)
    {
        var basket = new byte[16 * 1024];
        await Task.Delay(10, context.RequestAborted);
        await context.Response.Body.WriteAsync(basket.AsMemory(0, 64), context.RequestAborted);
    }
}
