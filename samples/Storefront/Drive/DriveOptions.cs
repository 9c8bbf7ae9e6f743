using System.Globalization;

namespace Storefront.Drive;

/// <summary>What the command line asks for.</summary>
/// <param name="Drive">Whether to replay a trace against the service instead of only serving.</param>
/// <param name="TraceFile">The trace; a Zipf trace of its own when there is none.</param>
/// <param name="Requests">How many reads at the most; all of the trace by default.</param>
/// <param name="Rate">Arrivals a second, whatever the service does.</param>
/// <param name="Seconds">How long at the most.</param>
/// <param name="Redis">Where Redis is, when it takes part.</param>
/// <param name="Postgres">The connection string of PostgreSQL, when it takes part.</param>
/// <param name="Soak">Whether prices change meanwhile, every answer is judged by their history, and the process's vitals are taken at rest before and after.</param>
/// <param name="Load">The rate of a soak as a share of what the shop turns out to do here.</param>
/// <param name="Rest">Everything else, which goes to the host: <c>--urls</c>, <c>--Catalogue:Latency=…</c>.</param>
internal sealed record DriveOptions(bool Drive, string? TraceFile, int? Requests, double Rate, double? Seconds, string? Redis, string? Postgres, bool Soak, double? Load, string[] Rest)
{
    private const double DefaultRate = 1_000;
    private const string DefaultRedis = "127.0.0.1:6379";
    private const string DefaultPostgres = "Host=127.0.0.1;Username=postgres;Database=postgres";

    public static DriveOptions Parse(string[] args)
    {
        var options = new DriveOptions(false, null, null, DefaultRate, null, null, null, false, null, []);
        var rest = new List<string>();
        for (int i = 0; i < args.Length; i++)
        {
            string? Optional() => i + 1 < args.Length && !args[i + 1].StartsWith("--", StringComparison.Ordinal) ? args[++i] : null;
            string name = args[i];
            options = name switch
            {
                "--drive" => options with { Drive = true, TraceFile = Optional() },
                "--requests" => options with { Requests = (int)Number(name, Optional(), 1, int.MaxValue) },
                "--rate" => options with { Rate = Number(name, Optional(), 1, 1_000_000) },
                "--seconds" => options with { Seconds = Number(name, Optional(), 1, 86_400) },
                "--redis" => options with { Redis = Optional() ?? DefaultRedis },
                "--postgres" => options with { Postgres = Optional() ?? DefaultPostgres },
                "--soak" => options with { Drive = true, Soak = true },
                "--load" => options with { Load = Number(name, Optional(), 0.01, 1) },
                _ => options,
            };
            if (name is not ("--drive" or "--requests" or "--rate" or "--seconds" or "--redis" or "--postgres" or "--soak" or "--load"))
            {
                rest.Add(name);
            }
        }

        if (options is { Drive: false } and not { Requests: null, Seconds: null })
        {
            throw new ArgumentException("--requests and --seconds go with --drive.");
        }

        if (options is { Soak: false, Load: not null })
        {
            throw new ArgumentException("--load goes with --soak.");
        }

        return options with { Rest = [.. rest] };
    }

    private static double Number(string name, string? text, double minimum, double maximum) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && value >= minimum && value <= maximum
            ? value
            : throw new ArgumentException($"{name} takes a number from {minimum} to {maximum}, not '{text}'.");
}
