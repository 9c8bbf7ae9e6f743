namespace Resilience.Integration.Tests;

/// <summary>Where the repository and its build output are, seen from the running test.</summary>
internal static class Repository
{
    private static readonly string[] OutputParts = AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar).Split(Path.DirectorySeparatorChar);

    /// <summary>The folder of Resilience.sln.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The configuration that was built: Release or Debug.</summary>
    public static string Configuration => OutputParts[^2];

    /// <summary>The assembly that a project's build made in this configuration.</summary>
    /// <param name="project">The project's folder, such as <c>bench/Resilience.Benchmarks</c>.</param>
    public static string Output(string project) =>
        Path.Combine(Root, project, "bin", Configuration, OutputParts[^1], Path.GetFileName(project) + ".dll");

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Resilience.sln")))
            {
                return folder.FullName;
            }
        }

        throw new InvalidOperationException($"There is no Resilience.sln above {AppContext.BaseDirectory}.");
    }
}
