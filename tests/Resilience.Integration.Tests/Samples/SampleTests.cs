using System.Globalization;
using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Resilience.TestKit;

namespace Resilience.Integration.Tests.Samples;

/// <summary>Every small sample as its reader runs it: in a process of its own, with the output that its page promises.</summary>
[Collection(RunsAlone.Name)]
public sealed partial class SampleTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(90);
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("sample-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public void Samples_EachHasAPage_ThatSaysHowToRunIt()
    {
        string[] samples = [.. Directory.EnumerateDirectories(Path.Combine(Repository.Root, "samples")).Select(path => Path.GetFileName(path)!)];
        Assert.NotEmpty(samples);
        Assert.All(samples, sample => Assert.Contains($"dotnet run -c Release --project samples/{sample}", Page(sample), StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("CacheOnly")]
    [InlineData("PoolOnly")]
    public async Task Program_RunToItsEnd_PrintsWhatItsPageSays(string sample)
    {
        await using ChildProcess program = Start(sample);

        int exitCode = await program.WaitForExitAsync(Patience);

        Assert.Equal(0, exitCode);
        Assert.Equal(ExpectedOutput(sample), program.Lines);
    }

    [Fact]
    public async Task WithPolly_RunToItsEnd_HasSentNextToNothingInVain()
    {
        await using ChildProcess program = Start("WithPolly");
        string line = await program.WaitForLineAsync("calls=", Patience);
        Assert.Equal(0, await program.WaitForExitAsync(Patience));

        Dictionary<string, int> counts = line.Split(' ').Select(pair => pair.Split('=')).ToDictionary(pair => pair[0], pair => int.Parse(pair[1], CultureInfo.InvariantCulture));
        Assert.Equal(2400, counts["calls"]);
        Assert.Equal(counts["calls"], counts["ok"] + counts["refused"] + counts["late"]);
        Assert.True(counts["ok"] > 0, line);
        Assert.True(counts["refused"] > counts["late"], line);
    }

    [Fact]
    public async Task Gateway_Demo_AnswersAsItsPageSays()
    {
        await using ChildProcess gateway = Start("Gateway", "--demo");
        Assert.Equal(0, await gateway.WaitForExitAsync(Patience));

        // The log line is written when it is written.
        string[] expected = ExpectedOutput("Gateway");
        Assert.Equal(expected.Order(StringComparer.Ordinal), gateway.Lines.Order(StringComparer.Ordinal));
        Assert.Equal(expected.Where(IsAnswer), gateway.Lines.Where(IsAnswer));

        static bool IsAnswer(string line) => line.StartsWith("gateway: demo-", StringComparison.Ordinal);
    }

    [Fact]
    public async Task QuickStart_ProductsAndComments_AsItsPageSays()
    {
        string settings = CopySettings("QuickStart");
        await using ChildProcess program = Start("QuickStart", "--urls", "http://127.0.0.1:0");
        using var client = new HttpClient { BaseAddress = Address(await program.WaitForLineAsync("Now listening on", Patience)) };

        string first = await client.GetStringAsync(new Uri("/products/42", UriKind.Relative));
        string second = await client.GetStringAsync(new Uri("/products/42", UriKind.Relative));
        Assert.StartsWith("Product 42, loaded with ", first, StringComparison.Ordinal);
        Assert.Equal(first, second);

        Assert.Equal(HttpStatusCode.OK, (await GetAsync(client, "/products/42/comments")).Status);
        await SwitchCommentsOffAsync(settings);
        await UntilAsync(client, "/products/42/comments", HttpStatusCode.ServiceUnavailable);
    }

    [Fact]
    public async Task DegradeByConfig_CommentsSwitchedOff_AnswersAsItsPageSays()
    {
        string settings = CopySettings("DegradeByConfig");
        await using ChildProcess program = Start("DegradeByConfig", "--urls", "http://127.0.0.1:0", "--Logging:LogLevel:Microsoft.Hosting.Lifetime=Information");
        using var client = new HttpClient { BaseAddress = Address(await program.WaitForLineAsync("Now listening on", Patience)) };
        string page = Page("DegradeByConfig");

        (HttpStatusCode status, string body) = await GetAsync(client, "/comments");
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Contains(body, page, StringComparison.Ordinal);

        await SwitchCommentsOffAsync(settings);
        body = await UntilAsync(client, "/comments", HttpStatusCode.ServiceUnavailable);
        Assert.Contains(body, page, StringComparison.Ordinal);
        Assert.Contains((await GetAsync(client, "/features")).Body, page, StringComparison.Ordinal);

        JsonNode kettle = JsonNode.Parse((await GetAsync(client, "/page")).Body)!;
        Assert.Equal(["Teapot", "Cups"], kettle["recommendations"]!.Deserialize<string[]>()!);
    }

    private static string Page(string sample) => File.ReadAllText(Path.Combine(Repository.Root, "samples", sample, "README.md"));

    /// <summary>The lines that a sample's page shows below "Expected output".</summary>
    private static string[] ExpectedOutput(string sample)
    {
        string page = Page(sample);
        string after = page[page.IndexOf("Expected output", StringComparison.Ordinal)..];
        string[] lines = after.Split('\n');
        int fence = Array.FindIndex(lines, line => line.StartsWith("```", StringComparison.Ordinal));
        string[] shown = fence >= 0
            ? [.. lines.Skip(fence + 1).TakeWhile(line => !line.StartsWith("```", StringComparison.Ordinal))]
            : [.. lines.SkipWhile(line => !line.StartsWith("    ", StringComparison.Ordinal)).TakeWhile(line => line.StartsWith("    ", StringComparison.Ordinal)).Select(line => line[4..])];
        Assert.NotEmpty(shown);
        return shown;
    }

    private static async Task<(HttpStatusCode Status, string Body)> GetAsync(HttpClient client, string path)
    {
        using HttpResponseMessage response = await client.GetAsync(new Uri(path, UriKind.Relative));
        return (response.StatusCode, await response.Content.ReadAsStringAsync());
    }

    private static async Task<string> UntilAsync(HttpClient client, string path, HttpStatusCode wanted)
    {
        string body = "";
        await Eventually.TrueAsync(
            async () =>
            {
                (HttpStatusCode status, body) = await GetAsync(client, path);
                return status == wanted;
            },
            $"{path} is {wanted}",
            Patience);
        return body;
    }

    private static async Task SwitchCommentsOffAsync(string settings)
    {
        JsonNode root = JsonNode.Parse(await File.ReadAllTextAsync(settings))!;
        root["Resilience"]!["Degrade"]!["Features"]!["comments"] = "Off";
        await File.WriteAllTextAsync(settings, root.ToJsonString());
    }

    private static Uri Address(string line) => new(ListeningOn().Match(line).Value);

    /// <summary>The sample's settings where a test may change them: in the folder that the sample is started in.</summary>
    private string CopySettings(string sample)
    {
        string copy = Path.Combine(_folder.FullName, "appsettings.json");
        File.Copy(Path.Combine(Repository.Root, "samples", sample, "appsettings.json"), copy);
        return copy;
    }

    private ChildProcess Start(string sample, params string[] arguments) =>
        ChildProcess.StartDotnet(Repository.Output($"samples/{sample}"), arguments, new ChildProcessOptions { WorkingDirectory = _folder.FullName });

    [GeneratedRegex(@"http://\S+")]
    private static partial Regex ListeningOn();
}
