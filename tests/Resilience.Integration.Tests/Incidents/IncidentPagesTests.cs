using System.Text.RegularExpressions;

namespace Resilience.Integration.Tests.Incidents;

/// <summary>The pages of docs/incidents: whole, and what they tell the reader to look for is there.</summary>
public sealed partial class IncidentPagesTests
{
    private const string Measured = "## Measured";

    private static readonly string[] Sections = ["## What happened", "## Why", "## What the kit does", Measured, "## See it in your own service", "## Replay it"];

    private static readonly string Sources = string.Join('\n', Directory
        .EnumerateFiles(Path.Combine(Repository.Root, "src"), "*.cs", SearchOption.AllDirectories)
        .Where(static path => !path.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}", StringComparison.Ordinal))
        .Select(File.ReadAllText));

    public static TheoryData<string> Pages =>
        [.. Directory.EnumerateFiles(Path.Combine(Repository.Root, "docs", "incidents"), "*.md").Select(static path => Path.GetFileName(path)).Where(static name => name != "README.md").Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Pages))]
    public void Page_HasEverySection_AndNamesOnlyWhatTheKitEmits(string name)
    {
        string page = File.ReadAllText(Path.Combine(Repository.Root, "docs", "incidents", name));

        Assert.Equal(Sections, page.Split('\n').Where(static line => line.StartsWith("## ", StringComparison.Ordinal)));
        Assert.Contains("| | without the kit | with the kit |\n|---|---|---|\n| ", page[page.IndexOf(Measured, StringComparison.Ordinal)..], StringComparison.Ordinal);
        Assert.Contains($"-- {Path.GetFileNameWithoutExtension(name)} ", page, StringComparison.Ordinal);
        Assert.All(MetricName().Matches(page).Select(static match => match.Groups[1].Value.TrimEnd('.')), static metric => Assert.Contains($"\"{metric}", Sources, StringComparison.Ordinal));
        Assert.All(LogEvent().Matches(page), static match =>
            Assert.Matches($@"LoggerMessage\((EventId = )?{match.Groups[1].Value}\b[^\n]*\s*\n?[^\n]*\b{match.Groups[2].Value}\b", Sources));
    }

    [GeneratedRegex("`((resilience|db\\.client)\\.[a-z_.]+)")]
    private static partial Regex MetricName();

    [GeneratedRegex("\\b([1-6]\\d{3}) `([A-Z][A-Za-z]+)`")]
    private static partial Regex LogEvent();
}
