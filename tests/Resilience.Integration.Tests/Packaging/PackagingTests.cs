using System.Diagnostics.CodeAnalysis;
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using System.Text;
using System.Xml.Linq;
using Resilience.TestKit;

namespace Resilience.Integration.Tests.Packaging;

[Collection(PackedPackages.Collection)]
public sealed class PackagingTests(PackedPackages packages)
{
    private static readonly Guid SourceLinkKind = new("CC110556-A091-4D38-9FEC-25AB9A351A6A");
    private static readonly byte[] PngSignature = [0x89, (byte)'P', (byte)'N', (byte)'G'];

    [Fact]
    public void Pack_Solution_MakesExactlyThePackages() =>
        Assert.Equal(Projects.MayUse.Keys.Order(StringComparer.Ordinal), packages.Ids.Order(StringComparer.Ordinal));

    [Theory]
    [MemberData(nameof(Projects.Rows), MemberType = typeof(Projects))]
    public void Metadata_Package_IsComplete(string id)
    {
        Package package = packages[id];
        XElement license = package.Metadata.Element(package.Metadata.Name.Namespace + "license")!;

        Assert.Matches(@"^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$", package.Value("version"));
        Assert.InRange(package.Value("description").Length, 40, 400);
        Assert.Equal(("expression", "MIT"), (license.Attribute("type")!.Value, license.Value));
        Assert.Equal("README.md", package.Value("readme"));
        Assert.Equal("icon.png", package.Value("icon"));
        Assert.Contains("resilience", package.Value("tags").Split(' '));
        Assert.NotEmpty(package.Value("authors"));
        Assert.Equal(packages["Resilience.Context"].Value("version"), package.Value("version"));
    }

    [Theory]
    [MemberData(nameof(Projects.Rows), MemberType = typeof(Projects))]
    public void Files_Package_HasLibraryDocumentationReadmeIconAndSymbols(string id)
    {
        Package package = packages[id];

        Assert.Equal(
            [$"lib/net10.0/{id}.dll", $"lib/net10.0/{id}.xml"],
            package.Files.Keys.Where(name => name.StartsWith("lib/", StringComparison.Ordinal)).Order(StringComparer.Ordinal));
        Assert.Equal(PngSignature, package.Files["icon.png"][..4]);
        Assert.StartsWith($"# {id}", Encoding.UTF8.GetString(package.Files["README.md"]).TrimStart('\uFEFF'), StringComparison.Ordinal);
        Assert.Contains($"lib/net10.0/{id}.pdb", package.Symbols.Keys);
        using var stream = new MemoryStream(package.Files[$"lib/net10.0/{id}.dll"]);
        using var reader = new PEReader(stream);
        Assert.Contains(reader.ReadDebugDirectory(), entry => entry.Type == DebugDirectoryEntryType.Reproducible);
    }

    /// <summary>The generator of feature decorators is no package of its own: it is where the compiler looks for it, in Resilience.Degrade alone.</summary>
    [Fact]
    public void Files_Degrade_CarryTheGeneratorAsAnAnalyzer()
    {
        const string Generator = "analyzers/dotnet/cs/Resilience.Degrade.Generators.dll";
        Assert.Equal([Generator], packages["Resilience.Degrade"].Files.Keys.Where(name => name.StartsWith("analyzers/", StringComparison.Ordinal)));
        Assert.All(packages.Ids.Where(id => id != "Resilience.Degrade"), id => Assert.DoesNotContain(packages[id].Files.Keys, name => name.StartsWith("analyzers/", StringComparison.Ordinal)));
        using var stream = new MemoryStream(packages["Resilience.Degrade"].Files[Generator]);
        using var reader = new PEReader(stream);
        MetadataReader metadata = reader.GetMetadataReader();
        Assert.Contains(metadata.TypeDefinitions, type => metadata.GetString(metadata.GetTypeDefinition(type).Name) == "FeatureGenerator");
    }

    [Theory]
    [MemberData(nameof(Projects.Rows), MemberType = typeof(Projects))]
    public void Readme_Package_SaysWhatItIsForWithAnExampleOptionsAndTelemetry(string id)
    {
        string readme = Encoding.UTF8.GetString(packages[id].Files["README.md"]);
        Assert.True(readme.Length >= 1_500, $"The README.md of {id} has {readme.Length} characters: too few to tell anybody what it is for, how it is used, set and watched.");
        Assert.Contains("```csharp", readme, StringComparison.Ordinal);
        Assert.Contains("|---", readme.Replace(" ", "", StringComparison.Ordinal), StringComparison.Ordinal);
        Assert.Matches("(?im)^##.*(option|setting|configur)", readme);
        Assert.Matches("(?im)^##.*(telemetry|metric|log)", readme);
    }

    [Theory]
    [MemberData(nameof(Projects.Rows), MemberType = typeof(Projects))]
    public void Dependencies_Package_ObeyTheArrows(string id)
    {
        Package package = packages[id];
        string[] own = [.. package.Dependencies.Where(dependency => dependency.StartsWith("Resilience.", StringComparison.Ordinal))];

        Assert.Empty(own.Except(Projects.MayUse[id]));
        Assert.Equal(id == "Resilience.Context", own.Length == 0);

        // Hosting stands on both; whether they are named in its own list too is the packer's affair.
        if (id != "Resilience.Hosting")
        {
            Assert.Equal(id == "Resilience.Redis", package.Dependencies.Contains("StackExchange.Redis", StringComparer.Ordinal));
            Assert.Equal(id == "Resilience.AspNetCore", package.Frameworks.Contains("Microsoft.AspNetCore.App", StringComparer.Ordinal));
        }

        // Analyzers and test packages must not leak to users.
        Assert.All(package.Dependencies, dependency =>
            Assert.Matches("^(Resilience|Microsoft\\.Extensions|Microsoft\\.FeatureManagement|Polly\\.Core|StackExchange\\.Redis|System\\.Threading\\.RateLimiting)", dependency));
    }

    [Theory]
    [MemberData(nameof(Projects.Rows), MemberType = typeof(Projects))]
    public async Task Repository_GitCheckout_IsNamedWithItsCommit(string id)
    {
        string? commit = await GitAsync("rev-parse", "HEAD");
        ServerAvailability.Require(commit, "A git checkout", "git");
        Package package = packages[id];
        XElement? repository = package.Metadata.Element(package.Metadata.Name.Namespace + "repository");

        Assert.Equal("git", repository?.Attribute("type")?.Value);
        Assert.Equal(commit, repository?.Attribute("commit")?.Value);
        if (await GitAsync("remote", "get-url", "origin") is { } remote && remote.StartsWith("https:", StringComparison.Ordinal))
        {
            Assert.NotEmpty(repository?.Attribute("url")?.Value ?? "");
            Assert.True(TryReadSourceLink(package.Symbols[$"lib/net10.0/{id}.pdb"], out string? link), "The symbols have no SourceLink.");
            Assert.Contains(commit, link, StringComparison.Ordinal);
        }
    }

    private static bool TryReadSourceLink(byte[] pdb, [NotNullWhen(true)] out string? link)
    {
        using MetadataReaderProvider provider = MetadataReaderProvider.FromPortablePdbStream(new MemoryStream(pdb));
        MetadataReader reader = provider.GetMetadataReader();
        link = reader.CustomDebugInformation
            .Select(reader.GetCustomDebugInformation)
            .Where(information => reader.GetGuid(information.Kind) == SourceLinkKind)
            .Select(information => Encoding.UTF8.GetString(reader.GetBlobBytes(information.Value)))
            .FirstOrDefault();
        return link is not null;
    }

    private static async Task<string?> GitAsync(params string[] arguments)
    {
        try
        {
            await using ChildProcess git = ChildProcess.Start("git", ["-C", Repository.Root, .. arguments]);
            return await git.WaitForExitAsync() == 0 ? string.Join('\n', git.Lines).Trim() : null;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null;
        }
    }
}
