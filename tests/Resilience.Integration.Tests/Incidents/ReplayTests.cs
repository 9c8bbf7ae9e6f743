using System.Text.RegularExpressions;
using Resilience.TestKit;

namespace Resilience.Integration.Tests.Incidents;

/// <summary>bench/Resilience.Incidents as its user runs it. Whether an incident holds is judged on a quiet machine, not here.</summary>
[Collection(RunsAlone.Name)]
public sealed partial class ReplayTests
{
    private const string Project = "bench/Resilience.Incidents";

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(4);

    [Fact]
    public async Task Replay_OneIncident_PrintsItsLineAndWritesAReportThatNeedsNothingElse()
    {
        string report = Path.Combine(Directory.CreateTempSubdirectory("incidents-").FullName, "report.html");
        await using ChildProcess child = ChildProcess.StartDotnet(Repository.Output(Project), ["lost-invalidation", "--quick", "--seconds", "4", "--seed", "5", "--report", report]);

        int exitCode = await child.WaitForExitAsync(Patience);

        string verdict = Assert.Single(child.Lines, static line => line.StartsWith("lost-invalidation: ", StringComparison.Ordinal) && line.Contains('=', StringComparison.Ordinal));
        Assert.Matches(VerdictLine(), verdict);
        Assert.Equal(verdict.Contains(" PASS ", StringComparison.Ordinal) ? 0 : 1, exitCode);
        Assert.Contains(child.Lines, static line => line.StartsWith("seed 5,", StringComparison.Ordinal));
        string html = await File.ReadAllTextAsync(report, TestContext.Current.CancellationToken);
        Assert.Contains("<svg", html, StringComparison.Ordinal);
        Assert.Contains("line naive", html, StringComparison.Ordinal);
        Assert.Contains("line kit", html, StringComparison.Ordinal);
        Assert.DoesNotMatch(FromElsewhere(), html);
        Directory.Delete(Path.GetDirectoryName(report)!, recursive: true);
    }

    [Fact]
    public async Task Replay_List_NamesAllFifteen_EachWithAPage()
    {
        await using ChildProcess child = ChildProcess.StartDotnet(Repository.Output(Project), ["list"]);

        Assert.Equal(0, await child.WaitForExitAsync(Patience));
        string[] names = [.. child.Lines.Select(static line => line.Split(' ')[0]).Where(static name => name.Length > 0)];
        Assert.Equal(15, names.Length);
        Assert.All(names, static name => Assert.True(File.Exists(Path.Combine(Repository.Root, "docs", "incidents", $"{name}.md")), $"docs/incidents/{name}.md is missing"));
    }

    [Theory]
    [InlineData("no-such-incident")]
    [InlineData("cascade", "--no-such-option")]
    [InlineData("cascade", "--seconds")]
    [InlineData("cascade", "--seconds", "many")]
    [InlineData("soak", "--seconds", "1")]
    [InlineData("soak", "--help")]
    public async Task Replay_WrongArguments_ExitsWithTwo(params string[] arguments)
    {
        await using ChildProcess child = ChildProcess.StartDotnet(Repository.Output(Project), arguments);

        Assert.Equal(2, await child.WaitForExitAsync(Patience));
    }

    /// <summary>A soak in seconds: no wrong answer and nothing left behind, whatever was cut meanwhile.</summary>
    [Fact]
    public async Task Soak_Short_NoWrongAnswerAndNothingLeftBehind()
    {
        string length = Environment.GetEnvironmentVariable("NIGHTLY") == "1" ? "1200" : "15";
        await using ChildProcess child = ChildProcess.StartDotnet(Repository.Output(Project), ["soak", "--seconds", length, "--rate", "100"]);

        int exitCode = await child.WaitForExitAsync(TimeSpan.FromMinutes(30));

        Assert.True(exitCode == 0, string.Join(Environment.NewLine, child.Lines.TakeLast(40)));
        Assert.Contains(child.Lines, static line => line.StartsWith("soak: PASS", StringComparison.Ordinal) && line.Contains("wrong=0", StringComparison.Ordinal));
    }

    [GeneratedRegex(@"^lost-invalidation: (PASS|FAIL) (\S+=\S+ )+took=\d+\.\ds$")]
    private static partial Regex VerdictLine();

    [GeneratedRegex("(src|href)=\"(?!#)|@import|url\\(")]
    private static partial Regex FromElsewhere();
}
