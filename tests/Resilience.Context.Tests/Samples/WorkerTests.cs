using System.Globalization;
using System.Text.RegularExpressions;

namespace Resilience.Context.Tests.Samples;

/// <summary>The sample in a process of its own: stopping by signal loses no accepted work.</summary>
public sealed partial class WorkerTests
{
    [Fact]
    public async Task Sigterm_WhileWorkWaitsAndRuns_AcceptedIsRunPlusAbandoned()
    {
        await using ChildProcess worker = ChildProcess.StartDotnet(SamplePath("Worker"), ["--orders", "0", "--sendMs", "300"]);
        await worker.WaitForLineAsync("worker: running");
        worker.Send(Signal.Terminate);
        string line = await worker.WaitForLineAsync("accepted=");
        Assert.Equal(0, await worker.WaitForExitAsync());

        Match match = Summary().Match(line);
        Assert.True(match.Success, line);
        int[] counts = [.. match.Groups.Values.Skip(1).Select(group => int.Parse(group.Value, CultureInfo.InvariantCulture))];
        (int accepted, int run, int abandoned, int sent, int saved) = (counts[0], counts[1], counts[2], counts[3], counts[4]);

        // It says that it runs when one mail was sent and twenty orders were taken; draining has time for a few of the others at the most.
        Assert.True(accepted >= 20 && run > 0 && abandoned > 0, line);
        Assert.Equal(accepted, run + abandoned);
        Assert.Equal((run, abandoned), (sent, saved));
    }

    [Fact]
    public async Task WithoutSignal_EndsByItself()
    {
        await using ChildProcess worker = ChildProcess.StartDotnet(SamplePath("Worker"), ["--orders", "20", "--sendMs", "1"]);
        Assert.Equal(0, await worker.WaitForExitAsync());
        Assert.Contains(worker.Lines, static line => line.StartsWith("worker: accepted=20 ", StringComparison.Ordinal));
    }

    /// <summary>Where the sample's program is: built with this project, in the same configuration.</summary>
    private static string SamplePath(string name)
    {
        var output = new DirectoryInfo(AppContext.BaseDirectory);
        string root = output.Parent!.Parent!.Parent!.Parent!.Parent!.FullName;
        return Path.Combine(root, "samples", name, "bin", output.Parent.Name, output.Name, $"{name}.dll");
    }

    [GeneratedRegex(@"^worker: accepted=(\d+) run=(\d+) abandoned=(\d+) sent=(\d+) saved=(\d+)$")]
    private static partial Regex Summary();
}
