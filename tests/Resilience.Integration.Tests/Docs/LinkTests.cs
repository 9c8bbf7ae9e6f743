using System.Text.RegularExpressions;

namespace Resilience.Integration.Tests.Docs;

public sealed partial class LinkTests
{
    [Theory]
    [MemberData(nameof(MarkdownFiles.Rows), MemberType = typeof(MarkdownFiles))]
    public void Links_Page_LeadSomewhere(string page)
    {
        string folder = Path.GetDirectoryName(Path.Combine(Repository.Root, page))!;
        var broken = new List<string>();
        foreach (string link in Links(page))
        {
            (string path, string? anchor) = link.Split('#') is [var file, var heading] ? (file, heading) : (link, null);
            string target = path.Length == 0 ? Path.Combine(Repository.Root, page) : Path.GetFullPath(Path.Combine(folder, Uri.UnescapeDataString(path)));
            if (!File.Exists(target) && !Directory.Exists(target))
            {
                broken.Add($"{link}: there is no such file");
            }
            else if (!target.StartsWith(Repository.Root, StringComparison.Ordinal))
            {
                broken.Add($"{link}: it leads out of the repository");
            }
            else if (anchor is not null && target.EndsWith(".md", StringComparison.Ordinal) && !Anchors(target).Contains(anchor))
            {
                broken.Add($"{link}: the page has no such heading");
            }
        }

        Assert.True(broken.Count == 0, $"{page}\n{string.Join('\n', broken)}");
    }

    private static IEnumerable<string> Links(string page) =>
        OutsideOfCode(MarkdownFiles.ReadLines(page))
            .SelectMany(line => Link().Matches(InlineCode().Replace(line, "")))
            .Select(match => match.Groups["target"].Value)
            .Where(target => !target.Contains(':', StringComparison.Ordinal)); // http:, mailto:

    private static HashSet<string> Anchors(string path)
    {
        var anchors = new HashSet<string>(StringComparer.Ordinal);
        foreach (string line in OutsideOfCode(MarkdownFiles.ReadLines(Path.GetRelativePath(Repository.Root, path))).Where(line => line.StartsWith('#')))
        {
            string text = NotInAnchor().Replace(line.TrimStart('#').Trim().ToLowerInvariant(), "").Replace(' ', '-');
            string anchor = text;
            for (int i = 1; !anchors.Add(anchor); i++)
            {
                anchor = $"{text}-{i}";
            }
        }

        return anchors;
    }

    private static IEnumerable<string> OutsideOfCode(IEnumerable<string> lines)
    {
        bool code = false;
        foreach (string line in lines)
        {
            bool fence = line.TrimStart().StartsWith("```", StringComparison.Ordinal);
            code ^= fence;
            if (!code && !fence)
            {
                yield return line;
            }
        }
    }

    [GeneratedRegex(@"\]\((?<target>[^)\s]+)(\s+""[^""]*"")?\)")]
    private static partial Regex Link();

    [GeneratedRegex("`[^`]*`")]
    private static partial Regex InlineCode();

    [GeneratedRegex(@"[^\p{L}\p{N} _-]")]
    private static partial Regex NotInAnchor();
}
