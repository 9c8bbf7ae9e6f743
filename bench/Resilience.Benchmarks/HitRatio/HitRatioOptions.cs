using System.Globalization;

namespace Resilience.Benchmarks.HitRatio;

/// <summary>What <c>hitratio</c> was asked for on the command line.</summary>
internal sealed record HitRatioOptions
{
    /// <summary>The policies, as the rows call them.</summary>
    public static IReadOnlyList<string> Policies { get; } = ["LRU", "OPT", "MemoryCacheTier", "S3FifoTier"];

    /// <summary>Files and the capacities to try on each; the known traces when empty.</summary>
    public IReadOnlyList<(string File, int[] Capacities)> Files { get; init; } = [];

    /// <summary>How many threads read the tiers.</summary>
    public int Threads { get; init; } = 1;

    /// <summary>The one policy to print; all when null.</summary>
    public string? Policy { get; init; }

    /// <summary>Whether to print how long single operations take, instead.</summary>
    public bool Pauses { get; init; }

    /// <summary>Whether to print the memory per entry, instead.</summary>
    public bool Memory { get; init; }

    /// <summary>Reads the arguments after <c>hitratio</c>.</summary>
    /// <exception cref="ArgumentException">An argument is unknown, lacks its value, or a file its capacities.</exception>
    public static HitRatioOptions Parse(IReadOnlyList<string> arguments)
    {
        var options = new HitRatioOptions();
        var files = new List<(string File, List<int> Capacities)>();
        for (int i = 0; i < arguments.Count; i++)
        {
            string argument = arguments[i];
            string Value() => ++i < arguments.Count ? arguments[i] : throw new ArgumentException($"{argument} needs a value.");
            switch (argument)
            {
                case "--threads":
                    options = options with { Threads = Positive(Value(), "--threads") };
                    break;
                case "--policy":
                    string policy = Value();
                    options = options with { Policy = Policies.Contains(policy) ? policy : throw new ArgumentException($"There is no policy {policy}; there are {string.Join(", ", Policies)}.") };
                    break;
                case "--pauses":
                    options = options with { Pauses = true };
                    break;
                case "--memory":
                    options = options with { Memory = true };
                    break;
                case ['-', ..]:
                    throw new ArgumentException($"There is no option {argument}.");
                default:
                    if (files.Count > 0 && int.TryParse(argument, NumberStyles.AllowThousands, CultureInfo.InvariantCulture, out _))
                    {
                        files[^1].Capacities.Add(Positive(argument, "A capacity"));
                    }
                    else
                    {
                        files.Add((argument, []));
                    }

                    break;
            }
        }

        if (files.Find(file => file.Capacities.Count == 0) is { File: { } bare })
        {
            throw new ArgumentException($"{bare} needs at least one capacity behind it, such as: hitratio {bare} 1000 10000.");
        }

        return options with { Files = [.. files.Select(file => (file.File, file.Capacities.ToArray()))] };
    }

    private static int Positive(string text, string what) =>
        int.TryParse(text, NumberStyles.AllowThousands, CultureInfo.InvariantCulture, out int value) && value > 0
            ? value
            : throw new ArgumentException($"{what} must be a whole number above 0, not {text}.");
}
