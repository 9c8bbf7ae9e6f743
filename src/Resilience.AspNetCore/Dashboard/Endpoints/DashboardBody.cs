using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>Reads and writes the small JSON bodies of the dashboard.</summary>
internal static class DashboardBody
{
    private const int MaxLength = 4096;

    /// <summary>The body; <see langword="null"/> when it is too long or not what it should be.</summary>
    public static async ValueTask<TRequest?> ReadAsync<TRequest>(HttpContext context, JsonTypeInfo<TRequest> type)
        where TRequest : class
    {
        byte[] body = new byte[MaxLength + 1];
        int length = await context.Request.Body.ReadAtLeastAsync(body, body.Length, throwOnEndOfStream: false, context.RequestAborted).ConfigureAwait(false);
        if (length > MaxLength)
        {
            return null;
        }

        try
        {
            return JsonSerializer.Deserialize(body.AsSpan(0, length), type);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    public static Task RefuseAsync(HttpContext context, int status, RefusalMessage message)
    {
        context.Response.StatusCode = status;
        return WriteAsync(context, message, DashboardJson.Default.RefusalMessage);
    }

    public static Task WriteAsync<T>(HttpContext context, T message, JsonTypeInfo<T> type) =>
        context.Response.WriteAsJsonAsync(message, type, cancellationToken: context.RequestAborted);
}
