using System.Diagnostics;
using System.Globalization;

namespace Resilience.Benchmarks.Harness;

/// <summary>
/// The verb <c>compare</c>: measures the cases of each group in turns (A B C A B C), so that whatever the machine does meanwhile
/// happens to all of them, and prints one tab-separated row a case. A ratio is the median of the ratios of the single turns, which
/// a machine that speeds up or slows down half-way does not move.
/// </summary>
internal static class CompareCommand
{
    private const int MostExtension = 3; // how many times the repetitions may be run to find undisturbed ones

    private static readonly TimeSpan TierUp = TimeSpan.FromMilliseconds(250); // the runtime compiles anew 100 ms after calls settle

    public static int Run(string[] arguments, IReadOnlyDictionary<string, Func<ICompareGroup>> groups)
    {
        CompareOptions options;
        try
        {
            options = CompareOptions.Parse(arguments);
        }
        catch (Exception exception) when (exception is ArgumentException or FormatException)
        {
            Console.Error.WriteLine(exception.Message);
            return 2;
        }

        if (options.Groups.FirstOrDefault(group => !groups.ContainsKey(group)) is { } unknown)
        {
            Console.Error.WriteLine($"There is no group {unknown}; there are {string.Join(", ", groups.Keys)}.");
            return 2;
        }

        string[] names = options.Groups.Count > 0 ? [.. options.Groups] : [.. groups.Keys];
        long started = Stopwatch.GetTimestamp();
        Console.Error.WriteLine("group\tcase\tns\tratio_to_limit\tbytes\tthreads" + (options.Detail ? "\tcpu_ns\tleast_ns\tspread" : ""));
        for (int i = 0; i < names.Length; i++)
        {
            TimeSpan left = options.Budget - Stopwatch.GetElapsedTime(started);
            RunGroup(names[i], groups[names[i]](), options, left / (names.Length - i));
        }

        return 0;
    }

    private static void RunGroup(string name, ICompareGroup group, CompareOptions options, TimeSpan budget)
    {
        long started = Stopwatch.GetTimestamp();
        var measurements = new List<CaseMeasurement>();
        try
        {
            IReadOnlyList<CompareCase> cases = group.Cases();
            foreach (CompareCase @case in cases.Where((@case, index) => index == 0 || options.Case is null || @case.Name.Contains(options.Case, StringComparison.OrdinalIgnoreCase)))
            {
                measurements.Add(new CaseMeasurement(@case));
            }

            Measure(measurements, options, budget, started);
            Print(name, measurements, options);
        }
        finally
        {
            measurements.ForEach(measurement => measurement.Dispose());
            if (group is IAsyncDisposable asynchronous)
            {
                asynchronous.DisposeAsync().AsTask().GetAwaiter().GetResult();
            }
            else
            {
                (group as IDisposable)?.Dispose();
            }
        }

        if (Stopwatch.GetElapsedTime(started) > budget)
        {
            Console.Error.WriteLine($"# {name} took {Stopwatch.GetElapsedTime(started).TotalSeconds:0.0} s of the {budget.TotalSeconds:0.0} s it may take: it has too many or too slow cases");
        }
    }

    private static void Measure(List<CaseMeasurement> measurements, CompareOptions options, TimeSpan budget, long started)
    {
        for (int round = 0; round < 2; round++)
        {
            measurements.ForEach(measurement => measurement.WarmUp(options.WarmUp));
            Thread.Sleep(TierUp);
        }

        measurements.ForEach(measurement => measurement.Calibrate(options.Batch));
        for (int round = 0; round < options.Repetitions * MostExtension; round++)
        {
            bool calm = round >= options.Repetitions && measurements.All(measurement => measurement.CalmBatches >= options.LeastRepetitions);
            bool late = round >= options.LeastRepetitions && Stopwatch.GetElapsedTime(started) > budget;
            if (calm || late)
            {
                break;
            }

            measurements.ForEach(measurement => measurement.Measure());
        }
    }

    private static void Print(string name, List<CaseMeasurement> measurements, CompareOptions options)
    {
        foreach (CaseMeasurement measurement in measurements)
        {
            string row = string.Create(
                CultureInfo.InvariantCulture,
                $"{name}\t{measurement.Case.Name}\t{Number(measurement.MedianNanoseconds)}\t{measurement.RatioTo(measurements[0]):0.00}\t{Math.Round(measurement.Bytes, 1):0.#}\t{measurement.Case.Threads}");
            if (options.Detail)
            {
                row += string.Create(CultureInfo.InvariantCulture, $"\t{Number(measurement.MedianCpu)}\t{Number(measurement.LeastNanoseconds)}\t{measurement.Spread:0.00}");
            }

            Console.Out.WriteLine(row);
        }
    }

    // Three digits tell all that a run can.
    private static string Number(double value) => value.ToString(value >= 100 ? "0" : value >= 10 ? "0.0" : "0.00", CultureInfo.InvariantCulture);
}
