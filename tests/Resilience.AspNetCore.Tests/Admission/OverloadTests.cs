using System.Globalization;
using System.Net;
using Resilience.TestKit;

namespace Resilience.AspNetCore.Tests.Admission;

/// <summary>
/// Real Kestrel in a process of its own, on one core where the system can pin it, driven far beyond what it can do. <c>OVERLOAD_SECONDS</c> makes it
/// longer, <c>OVERLOAD_STRICT=1</c> asserts the figures that a quiet machine must reach; without it a shared machine only has to show the difference.
/// </summary>
[Collection("overload")]
public sealed class OverloadTests(ITestOutputHelper output)
{
    private static readonly int Seconds = int.TryParse(Environment.GetEnvironmentVariable("OVERLOAD_SECONDS"), CultureInfo.InvariantCulture, out int seconds) ? seconds : 5;
    private static readonly bool IsStrict = Environment.GetEnvironmentVariable("OVERLOAD_STRICT") == "1";

    [Fact]
    public async Task TenTimesTheCapacity_WithAdmissionHolds_WithoutCollapses()
    {
        (double capacity, LoadResult without) = await RunAsync(admission: false);
        (double capacityWith, LoadResult with) = await RunAsync(admission: true);
        output.WriteLine(FormattableString.Invariant($"without: capacity {capacity:0}/s, goodput {without.PerSecond / capacity:0.00}, critical {without.CriticalShare:P1}, p99 {without.CriticalP99Ms:0} ms, {without}"));
        output.WriteLine(FormattableString.Invariant($"with: capacity {capacityWith:0}/s, goodput {with.PerSecond / capacityWith:0.00}, critical {with.CriticalShare:P1}, p99 {with.CriticalP99Ms:0} ms, {with}"));
        Assert.True(with.Refused > with.Sent / 2, with.ToString());
        Assert.True(with.CriticalShare > without.CriticalShare, $"{with} against {without}");
        Assert.True(with.PerSecond > without.PerSecond, $"{with} against {without}");
        if (IsStrict)
        {
            Assert.True(with.PerSecond >= 0.8 * capacityWith, with.ToString());
            Assert.True(with.CriticalShare >= 0.98, with.ToString());
            Assert.True(with.CriticalP99Ms <= 1_000, with.ToString());
        }
    }

    [Fact]
    public async Task MemoryFills_LowPriorityIsRefusedBeforeItIsFull_AndAdmittedAgainAfterwards()
    {
        await using ChildProcess service = Start(
            ["--Resilience:Degrade:Pressure:Memory:ExitFor", "00:00:00.5", "--Resilience:Degrade:Pressure:Memory:EnterFor", "00:00:00.2", "--Resilience:Degrade:Pressure:ReliefAfter", "00:00:01"],
            new() { ["DOTNET_GCHeapHardLimit"] = "0xC800000" }); // 200 MiB
        using HttpClient client = OpenLoop.CreateClient(await AddressAsync(service));
        Assert.Equal(HttpStatusCode.OK, await StatusAsync(client, "/ping/Low"));
        int megabytes = 0;
        HttpStatusCode low = HttpStatusCode.OK;
        while (low == HttpStatusCode.OK && megabytes < 190)
        {
            using HttpResponseMessage filled = await client.PostAsync(new Uri("/memory/5", UriKind.Relative), null);
            filled.EnsureSuccessStatusCode();
            megabytes += 5;
            low = await UntilAsync(client, "/ping/Low", HttpStatusCode.ServiceUnavailable, TimeSpan.FromSeconds(megabytes < 150 ? 0 : 1));
        }

        output.WriteLine($"{megabytes} MB: {await client.GetStringAsync(new Uri("/state", UriKind.Relative))}");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, low);
        Assert.False(service.HasExited);
        Assert.Equal(HttpStatusCode.OK, await StatusAsync(client, "/ping/Critical"));

        // What is let go is only garbage until a collection runs, and nothing allocates any more: the relief asks for one.
        using HttpResponseMessage freed = await client.DeleteAsync(new Uri("/memory", UriKind.Relative));
        freed.EnsureSuccessStatusCode();
        Assert.Equal(HttpStatusCode.OK, await UntilAsync(client, "/ping/Low", HttpStatusCode.OK, TimeSpan.FromSeconds(30)));
    }

    private static async Task<(double Capacity, LoadResult Result)> RunAsync(bool admission)
    {
        await using ChildProcess service = Start(["--admission", admission ? "true" : "false"], []);
        using HttpClient client = OpenLoop.CreateClient(await AddressAsync(service));
        await OpenLoop.CapacityAsync(client, 6, TimeSpan.FromSeconds(1)); // compiles and learns
        double capacity = await OpenLoop.CapacityAsync(client, 6, TimeSpan.FromSeconds(2));
        LoadResult result = await OpenLoop.RunAsync(client, capacity * 10, TimeSpan.FromSeconds(Seconds), TimeSpan.FromSeconds(1));
        return (capacity, result);
    }

    private static ChildProcess Start(string[] arguments, Dictionary<string, string?> environment)
    {
        string assembly = Path.Combine(AppContext.BaseDirectory, "Resilience.OverloadService.dll");
        var options = new ChildProcessOptions { Environment = environment };
        string dotnet = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet";
        return File.Exists("/usr/bin/taskset")
            ? ChildProcess.Start("/usr/bin/taskset", ["-c", "0", dotnet, "exec", assembly, .. arguments], options)
            : ChildProcess.StartDotnet(assembly, arguments, options);
    }

    private static async Task<string> AddressAsync(ChildProcess service) =>
        (await service.WaitForLineAsync("listening "))["listening ".Length..];

    private static async Task<HttpStatusCode> StatusAsync(HttpClient client, string path)
    {
        using HttpResponseMessage response = await client.GetAsync(new Uri(path, UriKind.Relative));
        return response.StatusCode;
    }

    /// <summary>Asks until the answer is what is waited for, or the time is over; there is no event to await in another process.</summary>
    private static async Task<HttpStatusCode> UntilAsync(HttpClient client, string path, HttpStatusCode wanted, TimeSpan atMost)
    {
        long started = System.Diagnostics.Stopwatch.GetTimestamp();
        HttpStatusCode status = await StatusAsync(client, path);
        while (status != wanted && System.Diagnostics.Stopwatch.GetElapsedTime(started) < atMost)
        {
            await Task.Delay(50);
            status = await StatusAsync(client, path);
        }

        return status;
    }
}
