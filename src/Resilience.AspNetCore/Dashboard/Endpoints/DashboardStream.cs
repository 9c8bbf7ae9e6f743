using System.Buffers;
using System.IO.Pipelines;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Hosting;
using Resilience.Degrade;
using Resilience.Settings;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>Sends the figures: once as JSON, or as a stream of server-sent events for as long as the page is open.</summary>
internal sealed class DashboardStream(DashboardHub hub, LiveSettings<DashboardSettings> settings, TimeProvider time, IHostApplicationLifetime lifetime, IHostEnvironment environment)
{
    private readonly string _instance = $"{Environment.MachineName}:{Environment.ProcessId}";

    /// <summary>The figures for a script, at most one sample interval old: whoever may ask, asking costs no sample more.</summary>
    public Task StateAsync(HttpContext context)
    {
        DashboardHeaders.Write(context);
        if (DashboardProtectionOf.Refuses(context))
        {
            return Task.CompletedTask;
        }

        context.Response.ContentType = "application/json; charset=utf-8";
        return context.Response.Body.WriteAsync(hub.Latest().Json, context.RequestAborted).AsTask();
    }

    public async Task EventsAsync(HttpContext context)
    {
        DashboardHeaders.Write(context);
        if (DashboardProtectionOf.Refuses(context))
        {
            return;
        }

        using IDisposable? watching = hub.TryWatch();
        if (watching is null)
        {
            context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
            context.Response.Headers.RetryAfter = "30";
            return;
        }

        context.Features.Get<IHttpResponseBodyFeature>()?.DisableBuffering();
        context.Response.ContentType = "text/event-stream; charset=utf-8";
        context.Response.Headers["X-Accel-Buffering"] = "no";

        // The stream ends now and then so that whoever may no longer watch stops; and with the application, which would wait for it.
        using var end = new CancellationTokenSource(settings.Current.ReauthorizeAfter, time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, lifetime.ApplicationStopping, end.Token);
        try
        {
            await SendAsync(context.Response.BodyWriter, linked.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (linked.IsCancellationRequested)
        {
            // The page was closed, the application stops, or it is time to come again: each is an end, not a failure.
        }
    }

    private async Task SendAsync(PipeWriter writer, CancellationToken cancellationToken)
    {
        DashboardSample sample = await hub.NextAsync(0, cancellationToken).ConfigureAwait(false);
        DashboardSettings current = settings.Current;
        WriteEvent(writer, "hello"u8, Json(
            new HelloMessage(environment.ApplicationName, _instance, current.SampleInterval.TotalSeconds, current.History.TotalSeconds, sample.History),
            DashboardJson.Default.HelloMessage));
        DegradationSnapshot? features = null;
        AuditEntry[]? audit = null;
        while (true)
        {
            if (sample.Features is { } now && !ReferenceEquals(now, features))
            {
                WriteEvent(writer, "features"u8, Json(Changed(features, now), DashboardJson.Default.FeaturesMessage));
                features = now;
            }

            if (!ReferenceEquals(sample.Audit, audit))
            {
                audit = sample.Audit;
                WriteEvent(writer, "audit"u8, Json(audit, DashboardJson.Default.AuditEntryArray));
            }

            WriteEvent(writer, "figures"u8, sample.Json.Span);
            await writer.FlushAsync(cancellationToken).ConfigureAwait(false);
            sample = await hub.NextAsync(sample.Version, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>The features that are not what this watcher was told. A decision that has not changed is the same object.</summary>
    private static FeaturesMessage Changed(DegradationSnapshot? before, DegradationSnapshot now)
    {
        var known = new HashSet<FeatureDecision>(before?.Decisions ?? [], ReferenceEqualityComparer.Instance);
        return new FeaturesMessage(now.Revision, [.. now.Decisions.Where(decision => !known.Contains(decision)).Select(FeatureFigures.Of)]);
    }

    private static byte[] Json<T>(T message, JsonTypeInfo<T> type) => JsonSerializer.SerializeToUtf8Bytes(message, type);

    /// <summary>One event. JSON escapes line breaks, so that the data is one line.</summary>
    private static void WriteEvent(PipeWriter writer, ReadOnlySpan<byte> name, ReadOnlySpan<byte> data)
    {
        writer.Write("event: "u8);
        writer.Write(name);
        writer.Write("\ndata: "u8);
        writer.Write(data);
        writer.Write("\n\n"u8);
    }
}
