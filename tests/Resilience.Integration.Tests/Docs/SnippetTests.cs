using System.Text.RegularExpressions;

namespace Resilience.Integration.Tests.Docs;

/// <summary>
/// Every C# block of a page comes from a compiled file: the line before it is <c>&lt;!-- snippet: path#name --&gt;</c>, and the block is
/// what stands in that file between <c>// snippet: name</c> and <c>// end-snippet</c>, less the common indentation.
/// </summary>
public sealed partial class SnippetTests
{
    [Theory]
    [MemberData(nameof(MarkdownFiles.Rows), MemberType = typeof(MarkdownFiles))]
    public void CSharpBlock_Page_EqualsItsCompiledSource(string page)
    {
        string[] lines = MarkdownFiles.ReadLines(page);
        var problems = new List<string>();
        for (int i = 0; i < lines.Length; i++)
        {
            if (!Fence().IsMatch(lines[i]))
            {
                continue;
            }

            int end = Array.FindIndex(lines, i + 1, line => line.TrimEnd() == "```");
            string[] block = [.. lines[(i + 1)..end].Select(line => line.TrimEnd())];
            if (i == 0 || Marker().Match(lines[i - 1]) is not { Success: true } marker)
            {
                problems.Add($"{page}:{i + 1}: no <!-- snippet: path#name --> on the line before the block");
            }
            else if (!TryRead(marker.Groups["path"].Value, marker.Groups["name"].Value, out string[] source, out string problem))
            {
                problems.Add($"{page}:{i}: {problem}");
            }
            else if (!block.SequenceEqual(source, StringComparer.Ordinal))
            {
                problems.Add($"{page}:{i + 1}: the block differs from {marker.Groups["path"].Value}#{marker.Groups["name"].Value}, which is\n{string.Join('\n', source)}");
            }

            i = end;
        }

        Assert.True(problems.Count == 0, string.Join('\n', problems));
    }

    [GeneratedRegex(@"^\s*```(csharp|cs|c#)\b", RegexOptions.IgnoreCase | RegexOptions.ExplicitCapture)]
    private static partial Regex Fence();

    [GeneratedRegex(@"^\s*<!-- snippet: (?<path>\S+)#(?<name>\S+) -->\s*$")]
    private static partial Regex Marker();

    private static bool TryRead(string path, string name, out string[] source, out string problem)
    {
        (source, problem) = ([], "");
        if (!File.Exists(Path.Combine(Repository.Root, path)))
        {
            problem = $"there is no {path}";
            return false;
        }

        string[] lines = MarkdownFiles.ReadLines(path);
        int start = Array.FindIndex(lines, line => line.Trim() == $"// snippet: {name}");
        int end = start < 0 ? -1 : Array.FindIndex(lines, start, line => line.Trim() == "// end-snippet");
        if (end < 0)
        {
            problem = $"{path} has no // snippet: {name} … // end-snippet";
            return false;
        }

        string[] region = [.. lines[(start + 1)..end].Select(line => line.TrimEnd())];
        int indentation = region.Where(line => line.Length > 0).Select(line => line.Length - line.TrimStart().Length).DefaultIfEmpty().Min();
        source = [.. region.Select(line => line.Length > indentation ? line[indentation..] : "")];
        return true;
    }
}
