using System.Text.Json;
using System.Text.RegularExpressions;
using Resilience.Hosting;

namespace Resilience.Integration.Tests.Ops;

/// <summary>Dashboards and alerts that ask for a metric which nobody emits stay silent for ever: all that they name is held against what a running kit has measured.</summary>
public sealed partial class MetricNamesTests(EmittedMetrics emitted) : IClassFixture<EmittedMetrics>
{
    // What Prometheus adds to every series, and to every bucket.
    private static readonly string[] Added = ["job", "instance", "le"];

    [Theory]
    [InlineData("ops/grafana/resilience-kit.json")]
    [InlineData("ops/prometheus/alerts.yml")]
    public void Metrics_InTheFile_AreEmittedWithTheLabelsAndValuesItAsksFor(string file)
    {
        string[] expressions = [.. Expressions(file)];
        var problems = new List<string>();
        foreach (string expression in expressions)
        {
            foreach (Match metric in Selectors(expression))
            {
                problems.AddRange(Check(metric.Groups["name"].Value, metric.Groups["labels"].Value).Select(problem => $"{problem} in {expression}"));
            }

            string[] known = [.. Selectors(expression).Select(metric => metric.Groups["name"].Value).Where(emitted.Names.Contains).SelectMany(emitted.Labels), .. Added];
            problems.AddRange(Grouping().Matches(expression)
                .SelectMany(by => by.Groups["labels"].Value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
                .Where(label => !known.Contains(label))
                .Select(label => $"nothing is measured with the label {label} in {expression}"));
        }

        Assert.True(expressions.Length >= 12, $"only {expressions.Length} expressions in {file}");
        Assert.True(problems.Count == 0, string.Join('\n', problems.Distinct()));
    }

    [Fact]
    public void MeterNamesAndActivitySources_OfTheKit_AreAllThatItMeasuresAndTracesWith()
    {
        Assert.Equal(ResilienceKitDiagnostics.MeterNames.Order(StringComparer.Ordinal), emitted.Meters.Order(StringComparer.Ordinal));
        Assert.Equal(ResilienceKitDiagnostics.ActivitySourceNames.Order(StringComparer.Ordinal), emitted.ActivitySources.Order(StringComparer.Ordinal));
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

    private static IEnumerable<Match> Selectors(string expression) => Selector().Matches(expression).Where(match => match.Groups["name"].Success);

    private IEnumerable<string> Check(string metric, string selector)
    {
        if (!emitted.Names.Contains(metric))
        {
            yield return $"{metric} is not emitted";
            yield break;
        }

        foreach (Match matcher in Matcher().Matches(selector))
        {
            string label = matcher.Groups["label"].Value;
            string value = matcher.Groups["value"].Value;
            if (Added.Contains(label))
            {
                continue;
            }

            if (!emitted.Labels(metric).Contains(label))
            {
                yield return $"{metric} has no label {label}";
            }
            else if (matcher.Groups["op"].Value is "=" or "=~" && !emitted.Values(metric, label).Any(seen => matcher.Groups["op"].Value == "=" ? seen == value : Regex.IsMatch(seen, $"^({value})$")))
            {
                yield return $"{metric} never has {label}{matcher.Groups["op"].Value}\"{value}\"; it has {string.Join(", ", emitted.Values(metric, label))}";
            }
        }
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

    /// <summary>The metrics of an expression with what stands in braces; what stands behind "by" are labels, and a match without a name.</summary>
    [GeneratedRegex(@"\b(by|on|ignoring|group_left|without)\s*\([^)]*\)|(?<name>\bresilience_\w+)(\{(?<labels>[^}]*)\})?", RegexOptions.ExplicitCapture)]
    private static partial Regex Selector();

    [GeneratedRegex(@"\b(by|on|ignoring|without)\s*\((?<labels>[^)]*)\)", RegexOptions.ExplicitCapture)]
    private static partial Regex Grouping();

    [GeneratedRegex(@"(?<label>\w+)\s*(?<op>=~|!~|!=|=)\s*""(?<value>[^""]*)""", RegexOptions.ExplicitCapture)]
    private static partial Regex Matcher();

    [GeneratedRegex(@"^ +expr: (?<value>.+)$", RegexOptions.Multiline | RegexOptions.ExplicitCapture)]
    private static partial Regex ExpressionLine();

    [GeneratedRegex(@"^ +- alert: \w+", RegexOptions.Multiline)]
    private static partial Regex AlertLine();

    [GeneratedRegex(@"^ +runbook: docs/operations\.md, (?<value>.+)$", RegexOptions.Multiline | RegexOptions.ExplicitCapture)]
    private static partial Regex RunbookLine();
}
