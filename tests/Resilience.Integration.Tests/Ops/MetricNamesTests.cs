using System.Diagnostics.Metrics;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Resilience.Caching.Guard;
using Resilience.Hosting;

namespace Resilience.Integration.Tests.Ops;

/// <summary>Dashboards and alerts that ask for a metric which nobody emits stay silent for ever: every name in them is held against a running kit.</summary>
public sealed partial class MetricNamesTests
{
    private static readonly string[] HistogramParts = ["_bucket", "_sum", "_count"];

    [Theory]
    [InlineData("ops/grafana/resilience-kit.json")]
    [InlineData("ops/prometheus/alerts.yml")]
    public async Task Names_InTheFile_AreEmittedByTheKit(string file)
    {
        HashSet<string> emitted = [.. (await InstrumentsAsync()).SelectMany(PrometheusNames)];
        string[] used = [.. Expressions(file).SelectMany(Names).Distinct(StringComparer.Ordinal)];

        Assert.True(used.Length >= 12, $"only {used.Length} metrics in {file}");
        Assert.Empty(used.Except(emitted));
    }

    [Fact]
    public async Task MeterNames_OfTheKit_AreAllThatItMeasuresWith()
    {
        string[] meters = [.. (await InstrumentsAsync()).Select(instrument => instrument.Meter.Name).Distinct().Order(StringComparer.Ordinal)];

        Assert.Equal(ResilienceKitDiagnostics.MeterNames.Order(StringComparer.Ordinal), meters);
    }

    [Fact]
    public void Alerts_Each_SayHowBadWhatAndWhatToDo()
    {
        string text = File.ReadAllText(Path.Combine(Repository.Root, "ops/prometheus/alerts.yml"));
        int alerts = AlertLine().Count(text);

        Assert.True(alerts >= 8);
        foreach (string part in (string[])["severity:", "summary:", "description:", "runbook:"])
        {
            Assert.Equal(alerts, Regex.Count(text, $"^ +{part}", RegexOptions.Multiline));
        }

        string operations = File.ReadAllText(Path.Combine(Repository.Root, "docs/operations.md"));
        Assert.All(RunbookLine().Matches(text), match => Assert.Contains($"### {match.Groups["value"].Value}", operations, StringComparison.Ordinal));
    }

    private static async Task<IReadOnlyList<Instrument>> InstrumentsAsync()
    {
        var instruments = new List<Instrument>();
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Configuration.AddInMemoryCollection([new("Resilience:Caches:products:Expiration", "00:30:00")]);
        builder.AddResilienceKit(kit => kit.Services.AddResourcePool<object>("orders", static (_, _) => new ValueTask<object>(new object())));
        builder.Services.AddDegradation().AddSystemSignals().AddAdmission();
        builder.Services.AddBloomGuard("products", static _ => new NoKeys());
        builder.Services.AddBatchWriter<int>("audit", static _ => static (_, _) => ValueTask.CompletedTask);
        using IHost host = builder.Build();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, _) =>
            {
                if (instrument.Meter.Name.StartsWith("Resilience.", StringComparison.Ordinal) && ReferenceEquals(instrument.Meter.Scope, host.Services.GetRequiredService<IMeterFactory>()))
                {
                    instruments.Add(instrument);
                }
            },
        };
        listener.Start();
        await host.StartAsync();
        await host.StopAsync();
        return instruments;
    }

    /// <summary>How an instrument is called in Prometheus, after OpenTelemetry's rules: dots become underscores, the unit and the kind come behind.</summary>
    private static IEnumerable<string> PrometheusNames(Instrument instrument)
    {
        Type kind = instrument.GetType().GetGenericTypeDefinition();
        bool isCounter = kind == typeof(Counter<>) || kind == typeof(ObservableCounter<>);
        bool isHistogram = kind == typeof(Histogram<>);
        string unit = instrument.Unit switch
        {
            "s" => "_seconds",
            "By" => "_bytes",
            "1" when !isCounter && !isHistogram => "_ratio",
            _ => "",
        };
        string name = instrument.Name.Replace('.', '_') + unit;
        return isHistogram ? HistogramParts.Select(part => name + part) : [isCounter ? name + "_total" : name];
    }

    private static IEnumerable<string> Expressions(string file)
    {
        string text = File.ReadAllText(Path.Combine(Repository.Root, file));
        if (!file.EndsWith(".json", StringComparison.Ordinal))
        {
            return ExpressionLine().Matches(text).Select(match => match.Groups["value"].Value);
        }

        using var json = JsonDocument.Parse(text);
        return [.. Strings(json.RootElement, "expr")];
    }

    private static IEnumerable<string> Strings(JsonElement element, string name) => element.ValueKind switch
    {
        JsonValueKind.Object => element.EnumerateObject().SelectMany(property =>
            property.Name == name && property.Value.ValueKind == JsonValueKind.String ? [property.Value.GetString()!] : Strings(property.Value, name)),
        JsonValueKind.Array => element.EnumerateArray().SelectMany(item => Strings(item, name)),
        _ => [],
    };

    /// <summary>The metrics in an expression; what stands in braces or behind "by" are labels.</summary>
    private static IEnumerable<string> Names(string expression) =>
        MetricName().Matches(Labels().Replace(expression, "")).Select(match => match.Value);

    private sealed class NoKeys : IGuardSource
    {
        public async IAsyncEnumerable<string> ReadKeysAsync([EnumeratorCancellation] CancellationToken cancellationToken)
        {
            await Task.CompletedTask;
            yield break;
        }
    }

    [GeneratedRegex(@"\{[^}]*\}|\b(by|on|ignoring|group_left|without)\s*\([^)]*\)")]
    private static partial Regex Labels();

    [GeneratedRegex(@"\bresilience_\w+")]
    private static partial Regex MetricName();

    [GeneratedRegex(@"^ +expr: (?<value>.+)$", RegexOptions.Multiline | RegexOptions.ExplicitCapture)]
    private static partial Regex ExpressionLine();

    [GeneratedRegex(@"^ +- alert: \w+", RegexOptions.Multiline)]
    private static partial Regex AlertLine();

    [GeneratedRegex(@"^ +runbook: docs/operations\.md, (?<value>.+)$", RegexOptions.Multiline | RegexOptions.ExplicitCapture)]
    private static partial Regex RunbookLine();
}
