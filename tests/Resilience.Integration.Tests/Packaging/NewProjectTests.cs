using System.Net;
using System.Text.RegularExpressions;
using Resilience.TestKit;

namespace Resilience.Integration.Tests.Packaging;

/// <summary>What somebody does on the first day: a new web project, the packages from a feed, the ten lines of the README pasted, and it runs.</summary>
[Collection(PackedPackages.Collection)]
public sealed partial class NewProjectTests(PackedPackages packages) : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("resilience-new-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public async Task NewWebProject_PackagesAndPastedLines_BuildsRunsAndDegrades()
    {
        string folder = _folder.FullName;
        await WriteFeedAsync(folder);
        await DotnetTool.RunAsync(folder, Patience, "new", "web", "--name", "Shop", "--output", ".", "--no-restore");
        string project = Path.Combine(folder, "Shop.csproj");
        string version = packages["Resilience.Hosting"].Value("version");
        await File.WriteAllTextAsync(project, (await File.ReadAllTextAsync(project, Cancel)).Replace("</Project>", $"""  <ItemGroup><PackageReference Include="Resilience.Hosting" Version="{version}" /></ItemGroup></Project>""", StringComparison.Ordinal), Cancel);
        await PasteReadmeAsync(folder);

        IReadOnlyList<string> built = await DotnetTool.RunAsync(folder, Patience, "build", "-c", "Release", "--nologo", "-v", "quiet");
        Assert.DoesNotContain(built, line => line.Contains("warning CS", StringComparison.Ordinal));

        // Copies of what the shared framework has precompiled would be compiled at each start.
        Assert.Empty(Directory.EnumerateFiles(Path.Combine(folder, "bin", "Release", "net10.0"), "Microsoft.Extensions.*.dll"));

        await using ChildProcess shop = DotnetTool.Start(folder, "run", "-c", "Release", "--no-build", "--no-launch-profile", "--urls", "http://127.0.0.1:0");
        string listening = await shop.WaitForLineAsync("Now listening on:", Patience);
        using var client = new HttpClient { BaseAddress = new Uri(Address().Match(listening).Value), Timeout = TimeSpan.FromMinutes(1) };

        string first = await client.GetStringAsync(new Uri("/products/7", UriKind.Relative), Cancel);
        Assert.StartsWith("Product 7, loaded with ", first, StringComparison.Ordinal);
        Assert.DoesNotContain("none", first, StringComparison.Ordinal);
        Assert.Equal(first, await client.GetStringAsync(new Uri("/products/7", UriKind.Relative), Cancel));
        Assert.Equal((HttpStatusCode.ServiceUnavailable, "[]"), await CommentsAsync(client));

        // "Everything under Resilience reloads live".
        string settings = Path.Combine(folder, "appsettings.json");
        await File.WriteAllTextAsync(settings, (await File.ReadAllTextAsync(settings, Cancel)).Replace("\"Off\"", "\"On\"", StringComparison.Ordinal), Cancel);
        await Eventually.TrueAsync(async () => await CommentsAsync(client) == (HttpStatusCode.OK, """["I bought 7 twice."]"""), "the comments are on", Patience);
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private static async Task<(HttpStatusCode Status, string Body)> CommentsAsync(HttpClient client)
    {
        using HttpResponseMessage answer = await client.GetAsync(new Uri("/products/7/comments", UriKind.Relative), Cancel);
        return (answer.StatusCode, await answer.Content.ReadAsStringAsync(Cancel));
    }

    /// <summary>The packages come from the folder they were packed into, what they stand on from where this machine keeps its packages; nothing is kept after the test.</summary>
    private async Task WriteFeedAsync(string folder)
    {
        string listed = (await DotnetTool.RunAsync(folder, Patience, "nuget", "locals", "global-packages", "--list")).First(line => line.Contains("global-packages:", StringComparison.Ordinal));
        string machine = listed[(listed.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim();
        await File.WriteAllTextAsync(Path.Combine(folder, "nuget.config"), $"""
            <configuration>
              <config><add key="globalPackagesFolder" value="{Path.Combine(folder, ".packages")}" /></config>
              <packageSources><clear /><add key="packed" value="{packages.Folder}" /></packageSources>
              <fallbackPackageFolders><clear /><add key="machine" value="{machine}" /></fallbackPackageFolders>
            </configuration>
            """, Cancel);
    }

    private static async Task PasteReadmeAsync(string folder)
    {
        string readme = await File.ReadAllTextAsync(Path.Combine(Repository.Root, "README.md"), Cancel);
        readme = readme[readme.IndexOf("## Ten lines to paste", StringComparison.Ordinal)..];
        await File.WriteAllTextAsync(Path.Combine(folder, "Program.cs"), Block(readme, "csharp"), Cancel);
        await File.WriteAllTextAsync(Path.Combine(folder, "appsettings.json"), $"{{{Block(readme, "json")}}}", Cancel);
    }

    private static string Block(string page, string language)
    {
        int begin = page.IndexOf($"```{language}\n", StringComparison.Ordinal) + language.Length + 4;
        return page[begin..page.IndexOf("```", begin, StringComparison.Ordinal)];
    }

    [GeneratedRegex(@"http://[\d.:]+")]
    private static partial Regex Address();
}
