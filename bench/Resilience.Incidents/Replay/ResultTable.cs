using Resilience.Incidents.Instruments;

namespace Resilience.Incidents.Replay;

/// <summary>An incident's figures as text: a table, what was checked, and the one line for scripts.</summary>
internal static class ResultTable
{
    public static void Print(TextWriter output, FinishedIncident done)
    {
        IReadOnlyList<FigureRow> rows = [new FigureRow(string.Empty, "without the kit", "with the kit"), .. done.Result.Rows];
        int what = rows.Max(static row => row.What.Length);
        int naive = rows.Max(static row => row.Naive.Length);
        int kit = rows.Max(static row => row.Kit.Length);
        foreach (FigureRow row in rows)
        {
            output.WriteLine($"  {row.What.PadRight(what)}  {row.Naive.PadLeft(naive)}  {row.Kit.PadLeft(kit)}");
        }

        output.WriteLine($"  reported: {done.Incident.Reported}");
        foreach (Check check in done.Result.Checks)
        {
            output.WriteLine($"  {(check.Passed ? "ok  " : "FAIL")} {check.What}: {check.Measured}");
        }

        if (done.Broken is not null)
        {
            output.WriteLine($"  FAIL the replay broke: {done.Broken}");
        }

        foreach (LogLine line in done.Passed ? [] : done.Result.LogLines)
        {
            output.WriteLine($"  log {line.Seconds,5:F1} s {line.Text.Split('\n')[0]}");
        }

        string facts = string.Join(' ', done.Result.Checks.Select(static check => $"{check.Key}={check.Measured.Replace(" ", string.Empty, StringComparison.Ordinal)}"));
        output.WriteLine($"{done.Incident.Name}: {(done.Passed ? "PASS" : "FAIL")} {facts} took={done.Took.TotalSeconds:F1}s");
    }
}
