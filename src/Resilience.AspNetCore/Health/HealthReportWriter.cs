using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Resilience.AspNetCore.Health;

/// <summary>Writes a report as JSON that may be shown to anybody.</summary>
internal static class HealthReportWriter
{
    /// <summary>How the names of the kit's own checks begin. Only their words are written: what others hold in theirs is not known.</summary>
    private static readonly string[] OwnPrefixes = ["resilience-", "pool:", "cache:", "guard:"];

    public static async Task WriteAsync(HttpContext context, HealthReport report)
    {
        context.Response.ContentType = "application/json; charset=utf-8";
        var writer = new Utf8JsonWriter(context.Response.BodyWriter, new JsonWriterOptions { Indented = true });
        await using (writer.ConfigureAwait(false))
        {
            Write(writer, report);
            await writer.FlushAsync(context.RequestAborted).ConfigureAwait(false);
        }
    }

    private static void Write(Utf8JsonWriter writer, HealthReport report)
    {
        writer.WriteStartObject();
        writer.WriteString("status", report.Status.ToString());
        writer.WriteNumber("durationMs", Milliseconds(report.TotalDuration));
        writer.WriteStartArray("checks");
        foreach ((string name, HealthReportEntry entry) in report.Entries.OrderByDescending(check => check.Value.Status == HealthStatus.Healthy ? 0 : 1).ThenBy(check => check.Key, StringComparer.Ordinal))
        {
            writer.WriteStartObject();
            writer.WriteString("name", name);
            writer.WriteString("status", entry.Status.ToString());
            writer.WriteNumber("durationMs", Milliseconds(entry.Duration));
            if (entry.Exception is { } exception)
            {
                // The message of an exception may hold a host, a user or a password; and the platform makes it the description.
                writer.WriteString("failure", exception.GetType().Name);
            }
            else if (entry.Description is { } description && Array.Exists(OwnPrefixes, prefix => name.StartsWith(prefix, StringComparison.Ordinal)))
            {
                writer.WriteString("description", description);
            }

            writer.WriteEndObject();
        }

        writer.WriteEndArray();
        writer.WriteEndObject();
    }

    private static double Milliseconds(TimeSpan time) => Math.Round(time.TotalMilliseconds, 3);
}
