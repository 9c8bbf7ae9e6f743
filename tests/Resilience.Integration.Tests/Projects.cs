namespace Resilience.Integration.Tests;

/// <summary>The packages of the solution, and which of them may know which: the arrows of the design.</summary>
internal static class Projects
{
    private static readonly string[] Blocks = ["Resilience.Context", "Resilience.Pools", "Resilience.Caching", "Resilience.Degrade"];

    /// <summary>For each package, the packages that it may stand on.</summary>
    public static IReadOnlyDictionary<string, string[]> MayUse { get; } = new Dictionary<string, string[]>(StringComparer.Ordinal)
    {
        ["Resilience.Context"] = [],
        ["Resilience.Pools"] = ["Resilience.Context"],
        ["Resilience.Caching"] = ["Resilience.Context"],
        ["Resilience.Degrade"] = ["Resilience.Context"],
        ["Resilience.FeatureManagement"] = ["Resilience.Context", "Resilience.Degrade"],
        ["Resilience.Redis"] = Blocks,
        ["Resilience.AspNetCore"] = Blocks,
        ["Resilience.Hosting"] = [.. Blocks, "Resilience.Redis", "Resilience.AspNetCore"],
    };

    /// <summary>What lies below src and is no package of its own: it travels inside another.</summary>
    public static IReadOnlyList<string> Embedded { get; } = ["Resilience.Degrade.Generators"];

    /// <summary>The packages, as rows of a theory.</summary>
    public static TheoryData<string> Rows { get; } = [.. MayUse.Keys];

    /// <summary>The built assembly of a package.</summary>
    public static string Assembly(string project) => Repository.Output(Path.Combine("src", project));
}
