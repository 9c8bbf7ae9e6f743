using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;
using Resilience.Hosting;

namespace Storefront.Telemetry;

/// <summary>
/// Sends what the kit measures to an OpenTelemetry collector, where <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> names one, in the environment, on the command line or
/// in appsettings.json. Without it nothing is sent and nothing is measured.
/// </summary>
internal static class ShopTelemetry
{
    public static void AddShopTelemetry(this WebApplicationBuilder builder)
    {
        if (builder.Configuration["OTEL_EXPORTER_OTLP_ENDPOINT"] is { Length: > 0 } endpoint)
        {
            builder.Services.AddHostedService(services => new Exporters(new Uri(endpoint), services.GetRequiredService<IConfiguration>()));
        }
    }

    private sealed class Exporters(Uri endpoint, IConfiguration configuration) : IHostedService, IDisposable
    {
        private MeterProvider? _metrics;
        private TracerProvider? _traces;

        public Task StartAsync(CancellationToken cancellationToken)
        {
            int interval = configuration.GetValue("OTEL_METRIC_EXPORT_INTERVAL", 10_000);

            // snippet: open-telemetry
            ResourceBuilder resource = ResourceBuilder.CreateDefault().AddService("storefront");
            _metrics = Sdk.CreateMeterProviderBuilder()
                .SetResourceBuilder(resource)
                .AddMeter([.. ResilienceKitDiagnostics.MeterNames])
                .AddOtlpExporter((exporter, reader) =>
                {
                    Configure(exporter, "v1/metrics");
                    reader.PeriodicExportingMetricReaderOptions.ExportIntervalMilliseconds = interval;
                })
                .Build();
            _traces = Sdk.CreateTracerProviderBuilder()
                .SetResourceBuilder(resource)
                .AddSource([.. ResilienceKitDiagnostics.ActivitySourceNames])
                .AddOtlpExporter(exporter => Configure(exporter, "v1/traces"))
                .Build();
            // end-snippet
            return Task.CompletedTask;
        }

        public Task StopAsync(CancellationToken cancellationToken)
        {
            _metrics?.ForceFlush(2_000);
            _traces?.ForceFlush(2_000);
            return Task.CompletedTask;
        }

        public void Dispose()
        {
            _metrics?.Dispose();
            _traces?.Dispose();
        }

        private void Configure(OtlpExporterOptions exporter, string path)
        {
            bool isHttp = configuration["OTEL_EXPORTER_OTLP_PROTOCOL"] == "http/protobuf";
            exporter.Protocol = isHttp ? OtlpExportProtocol.HttpProtobuf : OtlpExportProtocol.Grpc;
            exporter.Endpoint = isHttp ? new Uri(endpoint, path) : endpoint;
        }
    }
}
