using System.Text.RegularExpressions;
using System.Xml.Linq;
using Resilience.TestKit;

namespace Resilience.Integration.Tests.Packaging;

/// <summary>
/// The packages survive trimming. The SDK's own linker takes a whole program apart, the kit in it; it finds nothing in the kit to warn of, and what it
/// leaves of the kit still runs. What ahead-of-time compilation would warn of, the compiler's analyzers report, as errors, in each build.
/// </summary>
public sealed partial class TrimmingTests : IDisposable
{
    // StackExchange.Redis 1.2.6 is older than trimming; what it is warned of in there is no fault of the kit's, and no other package brings it.
    private const string Excepted = "Resilience.Redis";

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("resilience-trimmed-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public async Task Linker_ProgramWithTheKit_WarnsOfNothingInTheKitAndTheRestRuns()
    {
        string program = Repository.Output("samples/QuickStart");
        string built = Path.GetDirectoryName(program)!;
        string[] packages = [.. Projects.MayUse.Keys.Where(id => File.Exists(Path.Combine(built, $"{id}.dll")))];
        Assert.True(packages.Length >= 7);
        string linked = Path.Combine(_folder.FullName, "linked");

        IReadOnlyList<string> said = await DotnetTool.RunAsync(_folder.FullName, Patience, [Linker(), .. Roots(program, packages), .. Folders(built), "-out", linked, "--trim-mode", "copyused", "--action", "copyused"]);

        Assert.Contains(said, line => line.Contains("Trim analysis warning", StringComparison.Ordinal)); // the framework's own: the linker did look
        Assert.DoesNotContain(said, line => Warning().Match(line) is { Success: true } warning && warning.Groups["member"].Value.StartsWith("Resilience.", StringComparison.Ordinal));
        await RunAsync(built, linked, packages);
    }

    [Fact]
    public void Projects_BelowSrc_AreAnalyzedForTrimmingAndAheadOfTimeCompilation()
    {
        string library = File.ReadAllText(Path.Combine(Repository.Root, "eng/Library.props"));
        Assert.Contains("<IsAotCompatible Condition=\"'$(IsAotCompatible)' == ''\">true</IsAotCompatible>", library, StringComparison.Ordinal);
        foreach (string id in Projects.MayUse.Keys.Where(id => id != Excepted))
        {
            string project = File.ReadAllText(Path.Combine(Repository.Root, "src", id, $"{id}.csproj"));
            Assert.DoesNotContain("IsAotCompatible", project, StringComparison.Ordinal);
            Assert.DoesNotContain("NoWarn", project, StringComparison.Ordinal);
        }
    }

    /// <summary>Runs the program on what the linker left of the kit.</summary>
    private async Task RunAsync(string built, string linked, string[] packages)
    {
        string folder = Directory.CreateDirectory(Path.Combine(_folder.FullName, "program")).FullName;
        foreach (string file in Directory.EnumerateFiles(built))
        {
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
        }

        foreach (string id in packages)
        {
            File.Copy(Path.Combine(linked, $"{id}.dll"), Path.Combine(folder, $"{id}.dll"), overwrite: true);
        }

        await using ChildProcess shop = DotnetTool.Start(folder, Path.Combine(folder, "QuickStart.dll"), "--urls", "http://127.0.0.1:0", "--contentRoot", folder);
        string listening = await shop.WaitForLineAsync("Now listening on:", Patience);
        using var client = new HttpClient { BaseAddress = new Uri(Address().Match(listening).Value) };
        Assert.StartsWith("Product 7, loaded with ", await client.GetStringAsync(new Uri("/products/7", UriKind.Relative), TestContext.Current.CancellationToken), StringComparison.Ordinal);
    }

    /// <summary>The linker is part of the SDK's package for analysis, which the build of any of the packages has restored.</summary>
    private static string Linker()
    {
        XElement? path = Directory.EnumerateFiles(Path.Combine(Repository.Root, "src/Resilience.Context/obj"), "*.nuget.g.props")
            .SelectMany(file => XDocument.Load(file).Descendants())
            .FirstOrDefault(element => element.Name.LocalName == "NuGetPackageRoot");
        string root = path?.Value ?? throw new InvalidOperationException("No package folder in src/Resilience.Context/obj: build the solution first.");
        string package = Path.Combine(root, "microsoft.net.illink.tasks");
        return Directory.EnumerateFiles(package, "illink.dll", SearchOption.AllDirectories).Order(StringComparer.Ordinal).Last();
    }

    private static IEnumerable<string> Roots(string program, string[] packages) =>
    [
        "-a", program, "entrypoint", "--action", "link", Path.GetFileNameWithoutExtension(program),
        .. packages.SelectMany(id => (string[])["-a", Path.Combine(Path.GetDirectoryName(program)!, $"{id}.dll"), "library", "--action", "link", id]),
    ];

    private static IEnumerable<string> Folders(string built)
    {
        string framework = Path.GetDirectoryName(typeof(object).Assembly.Location)!;
        string web = Path.GetDirectoryName(typeof(Microsoft.AspNetCore.Builder.WebApplication).Assembly.Location)!;
        return ["-d", framework, "-d", web, "-d", built];
    }

    [GeneratedRegex(@"(warning|error) IL\d+: (?<member>[\w.<>`]+)", RegexOptions.ExplicitCapture)]
    private static partial Regex Warning();

    [GeneratedRegex(@"http://[\d.:]+")]
    private static partial Regex Address();
}
