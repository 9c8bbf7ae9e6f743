using System.Globalization;

namespace Resilience.Benchmarks.Harness;

/// <summary>What a comparison was asked for on the command line.</summary>
internal sealed record CompareOptions
{
    /// <summary>The groups; all when empty.</summary>
    public IReadOnlyList<string> Groups { get; init; } = [];

    /// <summary>Only cases whose name has this in it, and the limit.</summary>
    public string? Case { get; init; }

    /// <summary>Whether to print cpu_ns, least_ns and spread too.</summary>
    public bool Detail { get; init; }

    /// <summary>How long one measured batch should last.</summary>
    public TimeSpan Batch { get; init; } = TimeSpan.FromMilliseconds(8);

    /// <summary>How many batches of each case are measured at the most.</summary>
    public int Repetitions { get; init; } = 25;

    /// <summary>How many at the least, however little time is left.</summary>
    public int LeastRepetitions { get; init; } = 15;

    /// <summary>How long each of the two warm-ups of a case lasts.</summary>
    public TimeSpan WarmUp { get; init; } = TimeSpan.FromMilliseconds(120);

    /// <summary>How long the whole comparison may last.</summary>
    public TimeSpan Budget { get; init; } = TimeSpan.FromSeconds(210);

    /// <summary>Reads the arguments after <c>compare</c>.</summary>
    /// <exception cref="ArgumentException">An argument is unknown or lacks its value.</exception>
    public static CompareOptions Parse(IReadOnlyList<string> arguments)
    {
        var options = new CompareOptions();
        for (int i = 0; i < arguments.Count; i++)
        {
            string Value() => ++i < arguments.Count ? arguments[i] : throw new ArgumentException($"{arguments[i - 1]} needs a value.");
            options = arguments[i] switch
            {
                // For a look and for tests: right to a factor, not to a percent.
                "--quick" => options with { Batch = TimeSpan.FromMilliseconds(1), Repetitions = 5, LeastRepetitions = 5, WarmUp = TimeSpan.FromMilliseconds(10) },
                "--repetitions" when int.Parse(Value(), CultureInfo.InvariantCulture) is var count => options with { Repetitions = count, LeastRepetitions = count },
                "--case" => options with { Case = Value() },
                "--detail" => options with { Detail = true },
                ['-', ..] unknown => throw new ArgumentException($"There is no option {unknown}."),
                var group => options with { Groups = [.. options.Groups, group] },
            };
        }

        return options;
    }
}
