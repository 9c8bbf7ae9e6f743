using System.Globalization;
using Resilience.Incidents.Replay;

namespace Resilience.Incidents.Soak;

/// <summary>Judges a soak by what the shop has printed.</summary>
internal sealed class SoakVerdict
{
    private readonly List<Check> _checks = [];
    private readonly List<string> _told = [];

    public bool Passed => _checks.Count > 0 && _checks.TrueForAll(static check => check.Passed);

    /// <summary>Judges.</summary>
    /// <param name="lines">All that the shop has printed.</param>
    /// <param name="troubledLines">How many of these lines were there when the trouble ended.</param>
    public static SoakVerdict Of(IReadOnlyList<string> lines, int troubledLines)
    {
        var verdict = new SoakVerdict();
        verdict._told.AddRange(lines.Where(static line => line.StartsWith("rest: ", StringComparison.Ordinal) || line.StartsWith("first ", StringComparison.Ordinal) || line.StartsWith("drive: ", StringComparison.Ordinal)));
        Dictionary<string, double>[] rests = [.. Facts(lines, "rest: ")];
        if (rests.Length != 2 || Facts(lines, "drive: ").LastOrDefault() is not { } summary)
        {
            verdict._checks.Add(new Check("the shop ran to its end", "ran", "no: " + string.Join(" | ", lines.TakeLast(10)), Passed: false));
            return verdict;
        }

        verdict.JudgeRest(rests[0], rests[1]);
        verdict.JudgeAnswers(summary, [.. Facts(lines.Skip(troubledLines), "vitals: ")]);
        return verdict;
    }

    public void Print(TextWriter output, int faults, int seed)
    {
        _told.ForEach(output.WriteLine);
        foreach (Check check in _checks)
        {
            output.WriteLine($"  {(check.Passed ? "ok  " : "FAIL")} {check.What}: {check.Measured}");
        }

        string facts = string.Join(' ', _checks.Select(static check => $"{check.Key}={check.Measured.Replace(" ", string.Empty, StringComparison.Ordinal)}"));
        output.WriteLine($"soak: {(Passed ? "PASS" : "FAIL")} {facts} faults={faults} seed={seed}");
    }

    /// <summary>Compares the shop at rest before the trouble with the shop at rest after it. What is allowed on top does not depend on how long it was.</summary>
    private void JudgeRest(Dictionary<string, double> before, Dictionary<string, double> after)
    {
        Flat("live heap", "heap_mb", before, after, allowed: 4 + (0.1 * before["heap_mb"]));
        Flat("handles, open pooled connections apart", "handles", before, after, allowed: 16 + Math.Max(0, after["open"] - before["open"]));
        Flat("threads", "threads", before, after, allowed: 16);
        foreach ((string what, string key) in new[] { ("permits of pools that are out", "leased"), ("waiters for a permit", "waiting"), ("live scopes", "scopes"), ("work and lines in queues", "queued") })
        {
            _checks.Add(new Check(what, key, after[key].ToString("0", CultureInfo.InvariantCulture), after[key] == 0));
        }
    }

    private void JudgeAnswers(Dictionary<string, double> summary, Dictionary<string, double>[] untroubled)
    {
        _checks.Add(new Check("wrong answers", "wrong", summary["wrong"].ToString("0", CultureInfo.InvariantCulture), summary["wrong"] == 0 && summary["changes"] > 0));

        // Breakers and back-offs take a moment after the last fault.
        Dictionary<string, double>[] well = [.. untroubled.Skip(Math.Min(5, untroubled.Length / 2))];
        if (well.Length < 2)
        {
            _checks.Add(new Check("answered once the trouble is over", "after", "not measured", Passed: false));
            return;
        }

        double sent = well[^1]["sent"] - well[0]["sent"];
        double share = 1 - ((well[^1]["errors"] - well[0]["errors"]) / Math.Max(1, sent));
        _checks.Add(new Check("answered once the trouble is over", "after", IncidentResult.Percent(share, 3), sent > 0 && share >= 0.999));
    }

    private void Flat(string what, string key, Dictionary<string, double> before, Dictionary<string, double> after, double allowed) =>
        _checks.Add(new Check(what, key, string.Create(CultureInfo.InvariantCulture, $"{before[key]:0.#} → {after[key]:0.#}"), after[key] <= before[key] + allowed));

    private static IEnumerable<Dictionary<string, double>> Facts(IEnumerable<string> lines, string prefix) =>
        lines.Where(line => line.StartsWith(prefix, StringComparison.Ordinal)).Select(line => line[prefix.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries)
            .Select(static pair => pair.Split('='))
            .ToDictionary(static pair => pair[0], static pair => double.Parse(pair[1], CultureInfo.InvariantCulture), StringComparer.Ordinal));
}
