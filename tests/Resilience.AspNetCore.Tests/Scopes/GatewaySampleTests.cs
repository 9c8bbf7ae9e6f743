using Resilience.TestKit;

namespace Resilience.AspNetCore.Tests.Scopes;

public sealed class GatewaySampleTests
{
    [Fact]
    public async Task Demo_SaysWhatItsReadmeSays()
    {
        var output = new DirectoryInfo(AppContext.BaseDirectory);
        string folder = Path.Combine(output.Parent!.Parent!.Parent!.Parent!.Parent!.FullName, "samples", "Gateway");
        await using ChildProcess gateway = ChildProcess.StartDotnet(Path.Combine(folder, "bin", output.Parent.Name, output.Name, "Gateway.dll"), ["--demo"]);
        Assert.Equal(0, await gateway.WaitForExitAsync());
        string[] expected = [.. (await File.ReadAllLinesAsync(Path.Combine(folder, "README.md"), TestContext.Current.CancellationToken)).Where(static line => line.StartsWith("gateway: ", StringComparison.Ordinal))];
        Assert.Equal(expected.Order(StringComparer.Ordinal), gateway.Lines.Where(static line => line.StartsWith("gateway: ", StringComparison.Ordinal)).Order(StringComparer.Ordinal));
    }
}
