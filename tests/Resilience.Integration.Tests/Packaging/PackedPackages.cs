using Resilience.TestKit;

namespace Resilience.Integration.Tests.Packaging;

/// <summary>All packages, packed once from what is built.</summary>
public sealed class PackedPackages : IAsyncLifetime
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("resilience-packages-");
    private readonly Dictionary<string, Package> _packages = new(StringComparer.Ordinal);

    internal Package this[string id] => _packages[id];

    internal IReadOnlyCollection<string> Ids => _packages.Keys;

    public async ValueTask InitializeAsync()
    {
        // What the test's own host was told about MSBuild is not for a build of another solution.
        var environment = Environment.GetEnvironmentVariables().Keys.Cast<string>()
            .Where(name => name.StartsWith("MSBUILD", StringComparison.OrdinalIgnoreCase))
            .ToDictionary(name => name, _ => (string?)null, StringComparer.Ordinal);
        environment["MSBUILDDISABLENODEREUSE"] = "1";
        foreach (string project in Projects.MayUse.Keys)
        {
            await using ChildProcess pack = ChildProcess.Start(
                "dotnet",
                ["pack", Path.Combine(Repository.Root, "src", project), "-c", Repository.Configuration, "--no-build", "--nologo", "-v", "quiet", "-o", _folder.FullName],
                new ChildProcessOptions { WorkingDirectory = Repository.Root, Environment = environment });
            int exitCode = await pack.WaitForExitAsync(TimeSpan.FromMinutes(3));
            Assert.True(exitCode == 0, string.Join(Environment.NewLine, pack.Lines));
        }

        foreach (string path in Directory.EnumerateFiles(_folder.FullName, "*.nupkg"))
        {
            Package package = Package.Open(path);
            _packages.Add(package.Value("id"), package);
        }
    }

    public ValueTask DisposeAsync()
    {
        _folder.Delete(recursive: true);
        return ValueTask.CompletedTask;
    }
}
