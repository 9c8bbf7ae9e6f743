using System.Collections.Concurrent;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Resilience.Hosting;
using Resilience.TestKit;

namespace Resilience.Integration.Tests.Ops;

/// <summary>The sample shop sends what the kit measures to a collector, if one is named, and not otherwise.</summary>
public sealed class OtlpTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    [Fact]
    public async Task Storefront_CollectorNamed_SendsMetricsOfEveryMeter()
    {
        var received = new ConcurrentQueue<string>();
        await using WebApplication collector = await StartCollectorAsync(received);
        await using ChildProcess shop = ChildProcess.StartDotnet(
            Repository.Output("samples/Storefront"),
            [
                "--urls", "http://127.0.0.1:0",
                "--contentRoot", Path.Combine(Repository.Root, "samples/Storefront"),
                $"--OTEL_EXPORTER_OTLP_ENDPOINT={collector.Urls.First()}",
                "--OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
                "--OTEL_METRIC_EXPORT_INTERVAL=200",
            ]);
        string line = await shop.WaitForLineAsync("Now listening on:", Patience);
        using var client = new HttpClient { BaseAddress = new Uri(line[line.IndexOf("http", StringComparison.Ordinal)..].Trim()) };
        string page = await client.GetStringAsync(new Uri("/products/42", UriKind.Relative), TestContext.Current.CancellationToken);
        Assert.Contains("42", page, StringComparison.Ordinal);

        // Names stand in the messages as they are. Resilience.Redis measures limits of the fleet, of which the shop has none.
        string[] wanted = [.. ResilienceKitDiagnostics.MeterNames.Where(static name => name != "Resilience.Redis"), "storefront", "resilience.cache.source.loads", "resilience.admission.requests", "resilience.scope.duration"];
        foreach (string name in wanted)
        {
            await Eventually.TrueAsync(() => received.Any(body => body.Contains(name, StringComparison.Ordinal)), $"{name} is exported", Patience);
        }
    }

    private static async Task<WebApplication> StartCollectorAsync(ConcurrentQueue<string> received)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        WebApplication app = builder.Build();
        app.MapPost("/v1/metrics", async context =>
        {
            using var body = new MemoryStream();
            await context.Request.Body.CopyToAsync(body);
            received.Enqueue(Encoding.Latin1.GetString(body.ToArray()));
        });
        app.MapPost("/v1/traces", static context => Task.CompletedTask);
        await app.StartAsync();
        return app;
    }
}
