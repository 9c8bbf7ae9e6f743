using System.Globalization;
using Resilience.TestKit;

namespace Resilience.Incidents.Soak;

/// <summary>
/// Turns the instruments on the kit itself: the sample shop under a steady load for a long time, its Redis and its PostgreSQL cut, stalled
/// and refused at random the while, and at the end nothing may be left of it.
/// </summary>
internal static class SoakCommand
{
    /// <summary>The first argument that asks for it.</summary>
    public const string Verb = "soak";

    /// <summary>How many lines a shop that dies may leave.</summary>
    private const int LastWords = 60;

    private static readonly string[] Settings =
    [
        "--Resilience:Degrade:Admission:DryRun=true", // the load must come through whatever else the machine does

        // Local copies end soon, so that Redis is read all the time.
        "--Resilience:Caches:products:LocalExpiration=00:00:02",
        "--Resilience:Caches:Default:LocalExpiration=00:00:02",
    ];

    public static async Task<int> RunAsync(SoakOptions options)
    {
        Console.WriteLine($"seed {options.Seed}, {Environment.ProcessorCount} cores, .NET {Environment.Version}, {options.Length.TotalSeconds:0} s");
        await using RedisServer redis = await RedisServer.StartNewAsync();
        await using PostgresServer postgres = await PostgresServer.StartNewAsync();
        await using ChaosProxy redisProxy = ChaosProxy.Start(redis);
        await using ChaosProxy postgresProxy = ChaosProxy.Start(postgres);
        await using ChildProcess shop = Start(options, redisProxy, postgresProxy.Port, postgres);

        await shop.WaitForLineAsync("soak: begins", TimeSpan.FromMinutes(3));
        using var ends = new CancellationTokenSource(options.Length * SoakOptions.TroubledShare);
        var redisTrouble = new Trouble("redis", redisProxy, options.Seed);
        var postgresTrouble = new Trouble("postgres", postgresProxy, options.Seed + 1);
        await Task.WhenAll(redisTrouble.MakeAsync(ends.Token), postgresTrouble.MakeAsync(ends.Token), ReportAsync(shop, options, ends));
        if (shop.HasExited)
        {
            Console.WriteLine("soak: FAIL the shop has died");
            shop.Lines.TakeLast(LastWords).ToList().ForEach(Console.WriteLine);
            return 1;
        }

        Console.WriteLine($"all is well from here on; {redisTrouble.Count} faults of Redis and {postgresTrouble.Count} of PostgreSQL lie behind");
        int linesBefore = shop.Lines.Count;
        await shop.WaitForLineAsync("drive: ", options.Length + TimeSpan.FromMinutes(3));
        await shop.WaitForExitAsync(TimeSpan.FromMinutes(1));

        var verdict = SoakVerdict.Of(shop.Lines, linesBefore);
        verdict.Print(Console.Out, redisTrouble.Count + postgresTrouble.Count, options.Seed);
        return verdict.Passed ? 0 : 1;
    }

    private static ChildProcess Start(SoakOptions options, ChaosProxy redis, int postgresPort, PostgresServer postgres)
    {
        string connectionString = postgres.ConnectionString.Replace($"Port={postgres.Port}", $"Port={postgresPort}", StringComparison.Ordinal);
        string[] load = options.Rate is { } rate
            ? ["--rate", rate.ToString(CultureInfo.InvariantCulture)]
            : ["--load", options.Load.ToString(CultureInfo.InvariantCulture)];
        string[] arguments = ["--soak", "--seconds", options.Length.TotalSeconds.ToString(CultureInfo.InvariantCulture), .. load, "--redis", redis.Endpoint, "--postgres", connectionString, .. Settings];
        return ChildProcess.StartDotnet(Storefront(), arguments, new ChildProcessOptions { WorkingDirectory = Path.GetDirectoryName(Storefront()) });
    }

    /// <summary>The sample's assembly, from the build that this program is from.</summary>
    private static string Storefront()
    {
        string[] parts = AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar).Split(Path.DirectorySeparatorChar);
        string root = string.Join(Path.DirectorySeparatorChar, parts[..^5]);
        string assembly = Path.Combine(root, "samples", "Storefront", "bin", parts[^2], parts[^1], "Storefront.dll");
        return File.Exists(assembly) ? assembly : throw new FileNotFoundException($"samples/Storefront has not been built: there is no {assembly}.");
    }

    /// <summary>Says now and then how it goes, and ends the trouble once the shop has died.</summary>
    private static async Task ReportAsync(ChildProcess shop, SoakOptions options, CancellationTokenSource ends)
    {
        var every = TimeSpan.FromTicks(Math.Clamp(options.Length.Ticks / 20, TimeSpan.TicksPerSecond, TimeSpan.TicksPerMinute));
        while (!ends.IsCancellationRequested && !shop.HasExited)
        {
            await Task.Delay(every, ends.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (shop.Lines.LastOrDefault(static line => line.StartsWith("vitals: ", StringComparison.Ordinal)) is { } line)
            {
                Console.WriteLine(line);
            }
        }

        await ends.CancelAsync(); // nobody is left to trouble
    }
}
