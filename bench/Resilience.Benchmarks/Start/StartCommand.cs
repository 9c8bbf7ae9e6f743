using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Runtime;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Resilience.Context;
using Resilience.Degrade;
using Resilience.Pools;

namespace Resilience.Benchmarks.Start;

/// <summary>
/// The verb <c>start</c>: what <c>AddResilienceKit</c> with everything on adds to the start of a web application and to its memory. Each start is
/// a process of its own, because the first time is the only one that a service has; without and with the kit in turns.
/// </summary>
internal static class StartCommand
{
    public const string Usage = """
          start [--repetitions N] [--steps]
              rows of case, ms from Main until the host has started, ms until the first response, CPU ms, ms and methods of the JIT until the start, heap MB after a
              collection, working set MB, ms of a later start in the same process; --steps: what each step of one start with the kit takes
        """;

    public static int Run(string[] arguments) => arguments switch
    {
        ["--child", var kind] => Child(kind == "kit"),
        ["--steps"] => Steps(),
        ["--repetitions", var count] => Compare(int.Parse(count, CultureInfo.InvariantCulture)),
        [] => Compare(15),
        _ => 2,
    };

    private static int Compare(int repetitions)
    {
        List<double[]> empty = [], kit = [];
        Spawn("empty");
        Spawn("kit");
        for (int i = 0; i < repetitions; i++)
        {
            empty.Add(Spawn("empty"));
            kit.Add(Spawn("kit"));
        }

        Console.Error.WriteLine("case\tms\tfirst_response_ms\tcpu_ms\tjit_ms\tmethods\theap_mb\tworking_set_mb\tagain_ms");
        Print("empty host", [.. Enumerable.Range(0, 8).Select(column => Median(empty.Select(row => row[column])))]);
        Print("AddResilienceKit, everything on", [.. Enumerable.Range(0, 8).Select(column => Median(kit.Select(row => row[column])))]);
        Print("difference", [.. Enumerable.Range(0, 8).Select(column => Median(kit.Zip(empty, (with, without) => with[column] - without[column])))]);
        return 0;
    }

    private static double[] Spawn(string kind)
    {
        // The runtime's own program when it was started by that, else this one.
        bool isHosted = Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet";
        string[] arguments = [.. isHosted ? (string[])["exec", typeof(StartCommand).Assembly.Location] : [], "start", "--child", kind];
        using var process = Process.Start(new ProcessStartInfo(Environment.ProcessPath!, arguments)
        {
            RedirectStandardOutput = true,
            UseShellExecute = false,
            WorkingDirectory = AppContext.BaseDirectory, // a host watches its folder and all below it: where a repository stands, that is what would be measured
        })!;
        string line = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0
            ? [.. line.Trim().Split('\t').Select(figure => double.Parse(figure, CultureInfo.InvariantCulture))]
            : throw new InvalidOperationException($"The start of '{kind}' failed: {line}");
    }

    private static int Child(bool withKit)
    {
        TimeSpan cpu = Environment.CpuUsage.TotalTime;
        long began = Stopwatch.GetTimestamp();
        (double milliseconds, WebApplication app) = StartOnce(withKit);
        double cpuMilliseconds = (Environment.CpuUsage.TotalTime - cpu).TotalMilliseconds;
        double jit = JitInfo.GetCompilationTime().TotalMilliseconds;
        long methods = JitInfo.GetCompiledMethodCount();
        Ask(app);
        double first = Stopwatch.GetElapsedTime(began).TotalMilliseconds;
        double heap = GC.GetTotalMemory(forceFullCollection: true) / 1e6;
        double workingSet = Environment.WorkingSet / 1e6;
        app.StopAsync().GetAwaiter().GetResult();

        // Once more in the same process: what the work itself costs, without the compilation of its code.
        double again = Median(Enumerable.Range(0, 9).Select(_ =>
        {
            (double milliseconds, WebApplication app) = StartOnce(withKit);
            app.StopAsync().GetAwaiter().GetResult();
            return milliseconds;
        }));
        Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{milliseconds:0.00}\t{first:0.00}\t{cpuMilliseconds:0.00}\t{jit:0.00}\t{methods}\t{heap:0.00}\t{workingSet:0.00}\t{again:0.00}"));
        return 0;
    }

    private static int Steps()
    {
        var steps = new StartSteps();
        (_, WebApplication app) = StartOnce(withKit: true, steps);
        steps.Note("host, the rest");
        Ask(app);
        steps.Note("first request");
        app.StopAsync().GetAwaiter().GetResult();
        Console.Error.WriteLine(StartSteps.Header);
        foreach (string row in steps.Rows)
        {
            Console.Out.WriteLine(row);
        }

        return 0;
    }

    /// <summary>One request by the plainest client there is, so that little of the client's own start is in the figure.</summary>
    private static void Ask(WebApplication app)
    {
        using var client = new Socket(SocketType.Stream, ProtocolType.Tcp);
        client.Connect("127.0.0.1", new Uri(app.Urls.First()).Port);
        client.Send("GET / HTTP/1.1\r\nHost: start\r\n\r\n"u8);
        byte[] answer = new byte[1024];
        int length = client.Receive(answer);
        if (!answer.AsSpan(0, length).StartsWith("HTTP/1.1 200"u8))
        {
            throw new InvalidOperationException($"The first request was answered: {System.Text.Encoding.ASCII.GetString(answer, 0, length)}");
        }
    }

    private static (double Milliseconds, WebApplication App) StartOnce(bool withKit, StartSteps? steps = null)
    {
        long began = Stopwatch.GetTimestamp();
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        steps?.Note("host, builder");
        if (withKit)
        {
            AddEverything(builder);
            steps?.Note("AddResilienceKit");
            steps?.Watch(builder.Services);
        }

        WebApplication app = builder.Build();
        steps?.Note("host, Build");
        if (withKit)
        {
            app.UseResilienceKit();
            steps?.Note("UseResilienceKit");
            app.MapResilienceDashboard().AllowAnonymousReadOnly();
            steps?.Note("MapResilienceDashboard");
            app.MapResilienceHealth();
            steps?.Note("MapResilienceHealth");
        }

        app.MapGet("/", static context => Task.CompletedTask);
        app.StartAsync().GetAwaiter().GetResult();
        return (Stopwatch.GetElapsedTime(began).TotalMilliseconds, app);
    }

    private static void AddEverything(WebApplicationBuilder builder)
    {
        builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>(StringComparer.Ordinal)
        {
            ["Resilience:Context:DefaultTimeout"] = "00:00:10",
            ["Resilience:Context:TrustedPeers:0"] = "10.0.0.0/8",
            ["Resilience:Caches:Default:Expiration"] = "00:30:00",
            ["Resilience:Caches:products:Local:SizeLimit"] = "64 MiB",
            ["Resilience:Caches:products:LoadPipeline"] = "database",
            ["Resilience:Pools:smtp:MaxSize"] = "20",
            ["Resilience:Pools:smtp:RateLimit:PermitsPerSecond"] = "100",
            ["Resilience:Degrade:Features:comments"] = "Off",
            ["Resilience:Degrade:Features:recommendations:Priority"] = "Low",
        });
        builder.AddResilienceKit(static kit =>
        {
            kit.AddPool("smtp", static _ => new ResourceFactory<object>(static _ => new ValueTask<object>(new object())))
                .AddFeature(Feature.Declare("comments", Priority.Low))
                .AddFeature(Feature.Declare("recommendations", Priority.Low))
                .AddPipeline("database", static _ => { });
            kit.Services.AddBackgroundWorkQueue();
            kit.Services.AddBatchWriter<int>("audit", static _ => static (_, _) => ValueTask.CompletedTask);
        });
    }

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted[(sorted.Length - 1) / 2];
    }

    private static void Print(string name, double[] figures) =>
        Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name}\t{figures[0]:0.0}\t{figures[1]:0.0}\t{figures[2]:0.0}\t{figures[3]:0.0}\t{figures[4]:0}\t{figures[5]:0.00}\t{figures[6]:0.0}\t{figures[7]:0.0}"));
}
