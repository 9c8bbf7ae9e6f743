using System.Diagnostics;
using Resilience.Incidents.Incidents;
using Resilience.Incidents.Report;
using Resilience.Incidents.Soak;

namespace Resilience.Incidents.Replay;

/// <summary>The program: which incidents, in which order, what is printed, and the exit code.</summary>
internal static class ReplayCommand
{
    public static async Task<int> RunAsync(string[] args)
    {
        if (args is [ServiceProcess.Verb, ..])
        {
            return await ServiceProcess.RunAsync(args[1..]);
        }

        if (args is [SoakCommand.Verb, ..])
        {
            return await SoakAsync(args[1..]);
        }

        ReplayOptions options;
        IReadOnlyList<Incident> chosen;
        try
        {
            options = ReplayOptions.Parse(args);
            chosen = Choose(options);
        }
        catch (FormatException exception)
        {
            await Console.Error.WriteLineAsync($"{exception.Message}\n\n{ReplayOptions.Usage}");
            return 2;
        }

        if (options.Names.Contains("list"))
        {
            foreach (Incident incident in IncidentList.All)
            {
                Console.WriteLine($"{incident.Name,-18} {incident.Title}");
            }

            return 0;
        }

        var finished = new List<FinishedIncident>();
        Console.WriteLine($"seed {options.Seed}, {Environment.ProcessorCount} cores, .NET {Environment.Version}, {(options.Quick ? "quick" : "full")} lengths");
        foreach (Incident incident in chosen)
        {
            Console.WriteLine();
            Console.WriteLine($"{incident.Name}: {incident.Title}");
            long start = Stopwatch.GetTimestamp();
            FinishedIncident done = await RunOneAsync(incident, new ReplayRun(options), start);
            finished.Add(done);
            ResultTable.Print(Console.Out, done);
        }

        if (options.Report is { } file)
        {
            await File.WriteAllTextAsync(file, HtmlReport.Write(finished, options));
            Console.WriteLine($"{Environment.NewLine}report: {Path.GetFullPath(file)}");
        }

        return finished.TrueForAll(static done => done.Passed) ? 0 : 1;
    }

    private static async Task<int> SoakAsync(string[] args)
    {
        SoakOptions options;
        try
        {
            options = SoakOptions.Parse(args);
        }
        catch (FormatException exception)
        {
            await Console.Error.WriteLineAsync($"{exception.Message}\n\n{SoakOptions.Usage}");
            return 2;
        }

        return await SoakCommand.RunAsync(options);
    }

    private static async Task<FinishedIncident> RunOneAsync(Incident incident, ReplayRun run, long start)
    {
        try
        {
            IncidentResult result = await incident.RunAsync(run);
            return new FinishedIncident(incident, result, null, Stopwatch.GetElapsedTime(start));
        }
        catch (Exception exception)
        {
            return new FinishedIncident(incident, new IncidentResult(), exception, Stopwatch.GetElapsedTime(start)); // a replay that breaks has failed; the others still count
        }
    }

    private static IReadOnlyList<Incident> Choose(ReplayOptions options)
    {
        if (options.Names.Count == 0)
        {
            throw new FormatException("Which incident?");
        }

        if (options.Names.Any(static name => name is "all" or "list"))
        {
            return IncidentList.All;
        }

        return [.. options.Names.Select(static name => IncidentList.All.FirstOrDefault(incident => incident.Name == name)
            ?? throw new FormatException($"There is no incident '{name}'. There are: {string.Join(", ", IncidentList.All.Select(static incident => incident.Name))}."))];
    }
}

/// <summary>An incident that has been replayed, or has broken on the way.</summary>
internal sealed record FinishedIncident(Incident Incident, IncidentResult Result, Exception? Broken, TimeSpan Took)
{
    public bool Passed => Broken is null && Result.Passed;
}
