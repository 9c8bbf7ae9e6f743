using System.Globalization;
using System.Text.RegularExpressions;

namespace Resilience.Integration.Tests.Docs;

/// <summary>CHANGELOG.md keeps the form that its first lines promise, and knows of the version that is packed.</summary>
public sealed partial class ChangelogTests
{
    private static readonly string[] Kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];

    private static readonly string[] Lines = MarkdownFiles.ReadLines("CHANGELOG.md");

    [Fact]
    public void Versions_NewestFirst_DatedAndTheFirstIsTheOneThatIsPacked()
    {
        (Version Number, DateOnly Date)[] versions = [.. Lines
            .Where(static line => line.StartsWith("## ", StringComparison.Ordinal) && line != "## [Unreleased]")
            .Select(static line => VersionLine().Match(line) is { Success: true } match
                ? (Version.Parse(match.Groups[1].Value), DateOnly.ParseExact(match.Groups[2].Value, "yyyy-MM-dd", CultureInfo.InvariantCulture))
                : throw new FormatException($"'{line}' is not '## [1.2.3] - 2026-01-31'"))];
        Assert.NotEmpty(versions);
        Assert.Equal(versions.OrderByDescending(static version => version.Number), versions);
        Assert.Equal(versions.OrderByDescending(static version => version.Date), versions);
        string packed = VersionPrefix().Match(File.ReadAllText(Path.Combine(Repository.Root, "Directory.Build.props"))).Groups[1].Value;
        Assert.Equal(Version.Parse(packed), versions[0].Number);
    }

    [Fact]
    public void Entries_StandBelowAKindOfChangeThatIsKnown()
    {
        string section = string.Empty;
        foreach (string line in Lines.SkipWhile(static line => !line.StartsWith("## ", StringComparison.Ordinal)))
        {
            section = line.StartsWith("## ", StringComparison.Ordinal) ? string.Empty : line.StartsWith("### ", StringComparison.Ordinal) ? line[4..] : section;
            Assert.True(!line.StartsWith("- ", StringComparison.Ordinal) || Kinds.Contains(section), $"'{line}' stands below '{section}'");
        }
    }

    [GeneratedRegex(@"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})$")]
    private static partial Regex VersionLine();

    [GeneratedRegex("<VersionPrefix>(.+?)</VersionPrefix>")]
    private static partial Regex VersionPrefix();
}
