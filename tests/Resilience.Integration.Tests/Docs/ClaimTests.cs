using System.Text.RegularExpressions;

namespace Resilience.Integration.Tests.Docs;

/// <summary>What the pages claim points at rows that anyone can run: the rows exist.</summary>
public sealed partial class ClaimTests
{
    private static readonly string[] Incidents = [.. Directory.EnumerateFiles(Path.Combine(Repository.Root, "docs", "incidents"), "*.md").Select(static path => Path.GetFileNameWithoutExtension(path)!).Where(static name => name != "README")];

    private static readonly string[] Groups = Matches(GroupLine(), "bench/Resilience.Benchmarks/Compare/CompareGroups.cs");

    private static readonly string[] Verbs = Matches(VerbLine(), "bench/Resilience.Benchmarks/Program.cs");

    [Fact]
    public void Readme_EveryRowOfTheComparison_NamesRowsThatExist()
    {
        string[] rows = [.. MarkdownFiles.ReadLines("README.md").SkipWhile(static line => !line.StartsWith("## Beside its neighbours", StringComparison.Ordinal)).Where(static line => line.StartsWith("| ", StringComparison.Ordinal)).Skip(1)];
        Assert.NotEmpty(rows);
        Assert.All(rows, static row =>
        {
            string[] named = [.. Code().Matches(row).Select(static match => match.Groups[1].Value)];
            Assert.NotEmpty(named);
            Assert.All(named, static name => Assert.True(Exists(name), $"'{name}' is neither an incident nor a row of the benchmarks"));
        });
    }

    [Theory]
    [MemberData(nameof(MarkdownFiles.Rows), MemberType = typeof(MarkdownFiles))]
    public void Page_CommandsOfTheBenchmarksThatItNames_Exist(string page)
    {
        string text = string.Join('\n', MarkdownFiles.ReadLines(page));
        Assert.All(CompareCommand().Matches(text), static match => Assert.Contains(match.Groups[1].Value, Groups));
        Assert.All(IncidentCommand().Matches(text), static match => Assert.Contains(match.Groups[1].Value, Incidents.Concat(["all", "list", "soak"])));
        Assert.All(BenchmarkCommand().Matches(text), static match => Assert.Contains(match.Groups[1].Value, Verbs));
    }

    private static bool Exists(string name) =>
        name.StartsWith("compare ", StringComparison.Ordinal) ? Groups.Contains(name["compare ".Length..]) : Verbs.Contains(name) || Incidents.Contains(name);

    private static string[] Matches(Regex regex, string path)
    {
        string[] found = [.. regex.Matches(File.ReadAllText(Path.Combine(Repository.Root, path))).Select(static match => match.Groups[1].Value)];
        Assert.NotEmpty(found);
        return found;
    }

    [GeneratedRegex("`(?<name>[^`]+)`", RegexOptions.ExplicitCapture)]
    private static partial Regex Code();

    [GeneratedRegex(@"^\s*\[""(?<name>[a-z0-9-]+)""\] = ", RegexOptions.Multiline | RegexOptions.ExplicitCapture)]
    private static partial Regex GroupLine();

    [GeneratedRegex(@"^\s*\[""(?<name>[a-z-]+)"", \.\. var rest\]", RegexOptions.Multiline | RegexOptions.ExplicitCapture)]
    private static partial Regex VerbLine();

    [GeneratedRegex(@"`compare (?<name>[a-z0-9-]+)", RegexOptions.ExplicitCapture)]
    private static partial Regex CompareCommand();

    [GeneratedRegex(@"bench/Resilience\.Incidents -- (?<name>[a-z-]+)", RegexOptions.ExplicitCapture)]
    private static partial Regex IncidentCommand();

    [GeneratedRegex(@"bench/Resilience\.Benchmarks -- (?<name>[a-z-]+)", RegexOptions.ExplicitCapture)]
    private static partial Regex BenchmarkCommand();
}
