using Resilience.TestKit;

namespace Resilience.Integration.Tests.TestKit;

public sealed class ChildProcessTests
{
    [Fact]
    public async Task Lines_InputAndExitCode_AreSeen()
    {
        await using ChildProcess child = ChildProcess.Start(
            "bash",
            ["-c", "echo ready $NAME; read line; echo got $line >&2; exit 3"],
            new ChildProcessOptions { Environment = new Dictionary<string, string?> { ["NAME"] = "kit" } });
        await child.WaitForLineAsync("ready kit");

        await child.WriteLineAsync("this");

        await child.WaitForLineAsync("got this");
        Assert.Equal(3, await child.WaitForExitAsync());
        var exception = await Assert.ThrowsAsync<InvalidOperationException>(() => child.WaitForLineAsync("never"));
        Assert.Contains("bash ended with 3", exception.Message, StringComparison.Ordinal);
        Assert.Contains("got this", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Send_Terminate_IsHandledByTheChild()
    {
        await using ChildProcess child = ChildProcess.Start("bash", ["-c", "trap 'echo bye; exit 0' TERM; echo ready; while :; do read -t 1; done"]);
        await child.WaitForLineAsync("ready");

        child.Send(Signal.Terminate);

        await child.WaitForLineAsync("bye");
        Assert.Equal(0, await child.WaitForExitAsync());
    }

    [Fact]
    public async Task Dispose_RunningTree_EndsAllOfIt()
    {
        ChildProcess child = ChildProcess.Start("bash", ["-c", "sleep 1000 & echo child $!; wait"]);
        int grandchild = int.Parse((await child.WaitForLineAsync("child "))["child ".Length..]);

        await child.DisposeAsync();

        Assert.DoesNotContain("sleep", await CommandLineAsync(grandchild), StringComparison.Ordinal);
    }

    /// <summary>Its line in /proc may outlive a process for a moment, as that of a zombie which its new parent has yet to bury: empty, and gone in the next moment.</summary>
    private static async Task<string> CommandLineAsync(int process)
    {
        try
        {
            return await File.ReadAllTextAsync($"/proc/{process}/cmdline");
        }
        catch (IOException)
        {
            return "";
        }
    }

    [Fact]
    public async Task StartDotnet_MissingAssembly_SaysSo()
    {
        Assert.Throws<FileNotFoundException>(() => ChildProcess.StartDotnet("/nowhere/App.dll", []));
        await using ChildProcess version = ChildProcess.StartDotnet(typeof(ChildProcess).Assembly.Location, []);
        Assert.NotEqual(0, await version.WaitForExitAsync());
    }
}
