namespace Resilience.Integration.Tests.Packaging;

/// <summary>All packages, packed once from what is built.</summary>
[CollectionDefinition(Collection)]
public sealed class PackedPackages : IAsyncLifetime, ICollectionFixture<PackedPackages>
{
    public const string Collection = "packages";

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("resilience-packages-");
    private readonly Dictionary<string, Package> _packages = new(StringComparer.Ordinal);

    /// <summary>The folder, which is a feed.</summary>
    internal string Folder => _folder.FullName;

    internal Package this[string id] => _packages[id];

    internal IReadOnlyCollection<string> Ids => _packages.Keys;

    public async ValueTask InitializeAsync()
    {
        foreach (string project in Projects.MayUse.Keys)
        {
            await DotnetTool.RunAsync(
                Repository.Root,
                TimeSpan.FromMinutes(5),
                "pack", Path.Combine(Repository.Root, "src", project), "-c", Repository.Configuration, "--no-build", "--nologo", "-v", "quiet", "-o", _folder.FullName);
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
