using System.Globalization;

namespace Resilience.Incidents.Soak;

/// <summary>What the command line asks of a soak.</summary>
internal sealed record SoakOptions(TimeSpan Length, double Load, double? Rate, int Seed)
{
    /// <summary>For how much of the time there is trouble; the rest shows that all is well again.</summary>
    public const double TroubledShare = 0.8;

    public const string Usage =
        """
        usage: Resilience.Incidents soak [--seconds S] [--load SHARE | --rate R] [--seed N]

        The sample shop under load while its Redis and its PostgreSQL are cut, stalled and refused at random.
          --seconds S    how long; 1200 by default, 10 at least
          --load SHARE   the load as a share of what the shop turns out to do on this machine; 0.7 by default
          --rate R       the load in requests a second instead
          --seed N       makes the same trouble as the run that printed it
        Exit code 1 when an answer was wrong or something has grown, 2 for a wrong command line.
        """;

    /// <summary>Reads the command line.</summary>
    /// <exception cref="FormatException">It makes no sense; the message says what.</exception>
    public static SoakOptions Parse(IReadOnlyList<string> arguments)
    {
        var options = new SoakOptions(TimeSpan.FromMinutes(20), 0.7, null, Random.Shared.Next());
        for (int i = 0; i < arguments.Count; i += 2)
        {
            double value = i + 1 < arguments.Count && double.TryParse(arguments[i + 1], CultureInfo.InvariantCulture, out double number)
                ? number
                : throw new FormatException($"{arguments[i]} needs a number.");
            options = arguments[i] switch
            {
                "--seconds" when value is >= 10 and <= 604_800 => options with { Length = TimeSpan.FromSeconds(value) },
                "--load" when value is > 0 and <= 1 => options with { Load = value },
                "--rate" when value >= 1 => options with { Rate = value },
                "--seed" => options with { Seed = (int)value },
                _ => throw new FormatException($"'{arguments[i]} {arguments[i + 1]}' is not an option, or its value is out of range."),
            };
        }

        return options;
    }
}
