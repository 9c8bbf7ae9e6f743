using Resilience.TestKit;

namespace Resilience.Integration.Tests.Packaging;

/// <summary>Runs the SDK as a user would: with nothing of what the test's own host was told about MSBuild.</summary>
internal static class DotnetTool
{
    public static async Task<IReadOnlyList<string>> RunAsync(string folder, TimeSpan patience, params IReadOnlyList<string> arguments)
    {
        await using ChildProcess tool = Start(folder, arguments);
        int exitCode = await tool.WaitForExitAsync(patience);
        Assert.True(exitCode == 0, $"dotnet {string.Join(' ', arguments)}\n{string.Join('\n', tool.Lines)}");
        return tool.Lines;
    }

    public static ChildProcess Start(string folder, params IReadOnlyList<string> arguments) =>
        ChildProcess.Start("dotnet", arguments, new ChildProcessOptions { WorkingDirectory = folder, Environment = Surroundings() });

    private static Dictionary<string, string?> Surroundings()
    {
        var environment = Environment.GetEnvironmentVariables().Keys.Cast<string>()
            .Where(name => name.StartsWith("MSBUILD", StringComparison.OrdinalIgnoreCase))
            .ToDictionary(name => name, _ => (string?)null, StringComparer.Ordinal);
        environment["MSBUILDDISABLENODEREUSE"] = "1";
        environment["DOTNET_NOLOGO"] = "1";
        environment["DOTNET_CLI_TELEMETRY_OPTOUT"] = "1";
        return environment;
    }
}
