using System.Globalization;
using Resilience.TestKit;

namespace Resilience.Integration.Tests.Benchmarks;

[Collection(RunsAlone.Name)]
public sealed class CompareTests
{
    private const string Project = "bench/Resilience.Benchmarks";
    private const string Header = "group\t";

    [Fact]
    public async Task Compare_Quick_PrintsWellFormedRowsTheLimitFirst()
    {
        string[][] rows = await RunAsync("compare", "context", "--quick");

        Assert.True(rows.Length >= 8, $"{rows.Length} rows");
        Assert.All(rows, row => Assert.Equal(6, row.Length));
        Assert.All(rows, row => Assert.Equal("context", row[0]));
        Assert.All(rows, row => Assert.InRange(double.Parse(row[2], CultureInfo.InvariantCulture), 0.001, 1e9));
        Assert.All(rows, row => Assert.InRange(double.Parse(row[3], CultureInfo.InvariantCulture), 0.0, 1e6));
        Assert.All(rows, row => Assert.InRange(double.Parse(row[4], CultureInfo.InvariantCulture), 0.0, 1e6));
        Assert.All(rows, row => Assert.InRange(int.Parse(row[5], CultureInfo.InvariantCulture), 1, 1_000));
        Assert.Equal(rows.Length, rows.Select(row => row[1]).Distinct(StringComparer.Ordinal).Count());
        Assert.Equal("1.00", rows[0][3]);
    }

    [Fact]
    public async Task Compare_KnownAllocation_IsCounted()
    {
        string[][] rows = await RunAsync("compare", "context", "--quick", "--case", "AsyncLocal set");

        // The limit stays, whatever is selected. A set copies the context: 72 B with one other value in it.
        Assert.Equal(["AsyncLocal read", "AsyncLocal set + restore"], rows.Select(row => row[1]));
        Assert.Equal(["0", "72"], rows.Select(row => row[4]));
    }

    [Theory]
    [InlineData("compare", "no-such-group")]
    [InlineData("compare", "--no-such-option")]
    [InlineData("compare", "--repetitions")]
    [InlineData("no-such-verb")]
    public async Task Compare_WrongArguments_ExitsWithTwo(params string[] arguments)
    {
        await using ChildProcess child = ChildProcess.StartDotnet(Repository.Output(Project), arguments);

        Assert.Equal(2, await child.WaitForExitAsync());
        Assert.NotEmpty(child.Lines);
    }

    private static async Task<string[][]> RunAsync(params string[] arguments)
    {
        await using ChildProcess child = ChildProcess.StartDotnet(Repository.Output(Project), arguments);
        int exitCode = await child.WaitForExitAsync(TimeSpan.FromMinutes(2));
        Assert.True(exitCode == 0, string.Join(Environment.NewLine, child.Lines));
        return [.. child.Lines.Where(line => line.Contains('\t') && !line.StartsWith(Header, StringComparison.Ordinal)).Select(line => line.Split('\t'))];
    }
}
