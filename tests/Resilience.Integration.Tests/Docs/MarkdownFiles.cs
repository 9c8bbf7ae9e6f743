namespace Resilience.Integration.Tests.Docs;

/// <summary>The pages of the repository that readers are sent to.</summary>
internal static class MarkdownFiles
{
    /// <summary>Their paths from the root, as rows of a theory.</summary>
    public static TheoryData<string> Rows { get; } =
    [
        .. Directory.EnumerateFiles(Repository.Root, "*.md")
            .Concat(new[] { "docs", "src", "samples", "ops", "bench", "tests" }
                .Select(folder => Path.Combine(Repository.Root, folder))
                .Where(Directory.Exists)
                .SelectMany(folder => Directory.EnumerateFiles(folder, "*.md", SearchOption.AllDirectories)))
            .Select(path => Path.GetRelativePath(Repository.Root, path).Replace('\\', '/'))
            .Where(path => !path.Split('/').Any(part => part is "bin" or "obj"))
            .Order(StringComparer.Ordinal),
    ];

    public static string[] ReadLines(string path) => File.ReadAllText(Path.Combine(Repository.Root, path)).ReplaceLineEndings("\n").Split('\n');
}
