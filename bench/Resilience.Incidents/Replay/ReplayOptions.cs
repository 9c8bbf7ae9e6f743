using System.Globalization;

namespace Resilience.Incidents.Replay;

/// <summary>What the command line asks for.</summary>
internal sealed record ReplayOptions(IReadOnlyList<string> Names, bool Quick, double? Seconds, string? Report, int Seed)
{
    public const string Usage =
        """
        usage: Resilience.Incidents NAME...|all|list [--quick] [--seconds S] [--report FILE.html] [--seed N]

        Replays outages, each on a small service without the kit and on the same service with it, under the same load.
          --quick        shorter loads: all of them in less than six minutes on two cores
          --seconds S    the length of each side's load, in place of the incident's own
          --report FILE  writes a self-contained page with plots
          --seed N       draws the same keys, faults and errors as the run that printed it
        There is a soak, too: Resilience.Incidents soak; see Resilience.Incidents soak --help.
        Exit code 1 when one of them has not held what it promises, 2 for a wrong command line.
        """;

    /// <summary>Reads the command line.</summary>
    /// <exception cref="FormatException">It makes no sense; the message says what.</exception>
    public static ReplayOptions Parse(IReadOnlyList<string> arguments)
    {
        var names = new List<string>();
        var options = new ReplayOptions(names, Quick: false, Seconds: null, Report: null, Seed: 20_251_121);
        for (int i = 0; i < arguments.Count; i++)
        {
            switch (arguments[i])
            {
                case "--quick":
                    options = options with { Quick = true };
                    break;
                case "--seconds":
                    options = options with { Seconds = Number("--seconds") };
                    break;
                case "--report":
                    options = options with { Report = Value("--report") };
                    break;
                case "--seed":
                    options = options with { Seed = (int)Number("--seed") };
                    break;
                case var name when !name.StartsWith('-'):
                    names.Add(name);
                    break;
                default:
                    throw new FormatException($"'{arguments[i]}' is not an option.");
            }

            double Number(string option) => double.TryParse(Value(option), CultureInfo.InvariantCulture, out double number) && double.IsFinite(number)
                ? number
                : throw new FormatException($"{option} takes a number, not '{arguments[i]}'.");

            string Value(string option) => ++i < arguments.Count ? arguments[i] : throw new FormatException($"{option} needs a value.");
        }

        return options;
    }
}
