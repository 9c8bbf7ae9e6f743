using System.Globalization;
using Resilience.Caching.Guard;
using Resilience.Context;
using Resilience.Degrade;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>Says what is wrong, from the figures alone: the first thing that somebody sees who was woken up.</summary>
internal static class DashboardFindings
{
    /// <summary>More findings than these tell nobody anything.</summary>
    public const int Maximum = 50;

    /// <summary>From how many features with one cause on they are told as one.</summary>
    private const int Crowd = 4;

    public static IReadOnlyList<Finding> Of(DashboardSnapshot snapshot, DegradationSnapshot? features)
    {
        var findings = new List<Finding>();
        findings.AddRange(snapshot.Unreadable.Select(panel => new Finding(Severity.Warning, "settings", "dashboard", $"cannot read {panel}; the log has the reason")));
        OfAdmission(snapshot.Admission, findings);
        foreach (PoolFigures pool in snapshot.Pools ?? [])
        {
            OfPool(pool, findings);
        }

        foreach (CacheFigures cache in snapshot.Caches ?? [])
        {
            OfCache(cache, findings);
        }

        OfPressure(snapshot.Pressure, findings);
        OfFeatures(features, findings);
        OfScopes(snapshot.Scopes, findings);
        findings.AddRange(snapshot.RejectedSettings.Select(setting => new Finding(
            Severity.Warning,
            "settings",
            setting.Path,
            $"{(setting.Value is null ? "" : $"'{setting.Value}' ")}was rejected: {setting.Problem}. The last valid settings stay in force")));
        return [.. findings.OrderBy(finding => finding.Severity).Take(Maximum)];
    }

    private static void OfPressure(PressureFigures? pressure, List<Finding> findings)
    {
        if (pressure is null)
        {
            return;
        }

        // What a pool or a breaker presses with is told already, with its figures, where the pool or the cache is.
        HashSet<string> told = [.. findings.Where(finding => finding.Area is "pools" or "caches").Select(finding => (finding.Area == "pools" ? "pool:" : "breaker:") + finding.Subject)];
        findings.InsertRange(0, pressure.Signals.Where(signal => signal.Level > PressureLevel.Normal && !told.Contains(signal.Name)).OrderByDescending(signal => signal.Level).Select(signal => new Finding(
            signal.Level >= PressureLevel.High ? Severity.Critical : Severity.Warning,
            "pressure",
            signal.Name,
            Text($"is {signal.Level} at {signal.Value:0.###}"))));
        if (pressure.IsMemoryStuck)
        {
            findings.Add(new(Severity.Critical, "pressure", "memory", "stays high after a garbage collection: only a restart frees it"));
        }

        if (pressure.LateBySeconds > 1)
        {
            findings.Add(new(Severity.Warning, "pressure", "sampling", Text($"was {pressure.LateBySeconds:0.0} s late: the process gets no CPU")));
        }
    }

    private static void OfAdmission(AdmissionFigures? admission, List<Finding> findings)
    {
        AdmissionClass[] refused = [.. admission?.Classes.Where(line => line.RefusedPerSecond > 0) ?? []];
        if (refused.Length > 0)
        {
            findings.Add(new(
                refused.Any(line => line.Priority == nameof(Priority.Critical)) ? Severity.Critical : Severity.Warning,
                "pressure",
                "admission",
                $"refuses {string.Join(", ", refused.Select(line => Text($"{line.RefusedPerSecond:0.#}/s of {line.Priority} priority")))}{Text($"; {admission!.Inside} requests are inside")}"));
        }
    }

    private static void OfPool(PoolFigures pool, List<Finding> findings)
    {
        string holder = pool.Holders is [{ } oldest, ..]
            ? Text($", oldest lease {oldest.AgeSeconds:0.#} s{(oldest.Where.Length == 0 ? "" : $" at {oldest.Where}")}")
            : "";
        if (pool.Backend == "Down")
        {
            findings.Add(new(Severity.Critical, "pools", pool.Name, Text($"cannot create resources: {pool.CreateFailures} attempts in a row failed, callers fail at once")));
        }
        else if (pool.CreateFailures > 0)
        {
            findings.Add(new(Severity.Warning, "pools", pool.Name, Text($"fails to create resources: {pool.CreateFailures} in a row")));
        }

        if (pool.Waiting > 0)
        {
            bool isFull = pool.Leased >= pool.Limit;
            findings.Add(new(
                isFull ? Severity.Critical : Severity.Warning,
                "pools",
                pool.Name,
                Text($"{(isFull ? "is exhausted" : "has waiters")}: {pool.Leased}/{pool.Limit} leased, {pool.Idle} idle, {pool.Waiting} waiting{holder}")));
        }

        if (pool.Leaks > 0)
        {
            findings.Add(new(Severity.Warning, "pools", pool.Name, Text($"has leaked {pool.Leaks} leases since the start, {pool.Reclaims} were reclaimed{holder}")));
        }
    }

    private static void OfCache(CacheFigures cache, List<Finding> findings)
    {
        if (cache.SharedTier is "Open" or "Probing")
        {
            string pending = cache.ReplaysPending > 0 ? Text($", {cache.ReplaysPending} writes wait for it") : "";
            findings.Add(new(Severity.Critical, "caches", cache.Name, $"does without its shared tier: the breaker is {(cache.SharedTier == "Open" ? "open" : "probing")}{pending}"));
        }

        if (cache.Guard is { State: not (nameof(GuardState.Off) or nameof(GuardState.Loading) or nameof(GuardState.Ready)) } guard)
        {
            string wrong = guard.State == nameof(GuardState.Contradicted) ? Text($": it has refused keys that exist, {guard.Contradictions} seen") : "";
            findings.Add(new(guard.State == nameof(GuardState.Contradicted) ? Severity.Critical : Severity.Warning, "caches", cache.Name, $"its guard is {guard.State}{wrong}; until it is rebuilt it refuses nothing"));
        }

        if (cache.FailuresPerSecond > 0)
        {
            string stale = cache.StalePerSecond > 0 ? Text($"; {cache.StalePerSecond:0.#}/s are served stale") : "";
            findings.Add(new(Severity.Warning, "caches", cache.Name, Text($"its source fails {cache.FailuresPerSecond:0.#}/s of {cache.LoadsPerSecond:0.#} loads/s{stale}")));
        }
    }

    private static void OfFeatures(DegradationSnapshot? features, List<Finding> findings)
    {
        IEnumerable<FeatureDecision> unusual = features?.Decisions.Where(decision => decision.State != decision.Feature.Default || decision.Source == DecisionSource.Override) ?? [];
        foreach (var cause in unusual.GroupBy(decision => (decision.State, decision.Source, decision.Reason)))
        {
            // What pressure did is news; what somebody chose is a reminder.
            Severity severity = cause.Key.Source == DecisionSource.Automatic ? Severity.Warning : Severity.Notice;
            FeatureDecision[] alike = [.. cause];
            if (alike.Length >= Crowd)
            {
                string names = string.Join(", ", alike.Take(3).Select(decision => decision.Feature.Name));
                findings.Add(new(severity, "features", Text($"{alike.Length} features"), $"are {cause.Key.State}, among them {names}. {Why(alike[0])}"));
            }
            else
            {
                findings.AddRange(alike.Select(decision => new Finding(severity, "features", decision.Feature.Name, $"is {decision.State}. {Why(decision)}")));
            }
        }
    }

    private static string Why(FeatureDecision decision) => decision.Source switch
    {
        DecisionSource.Override => $"Overridden: {decision.Reason}",
        DecisionSource.Configuration => $"Configuration: {decision.Reason}",
        _ => $"Pressure: {decision.Reason}",
    };

    private static void OfScopes(ScopeFigures? scopes, List<Finding> findings)
    {
        if (scopes is { Leaks: > 0, LastLeaks: [{ } last, ..] })
        {
            findings.Add(new(Severity.Warning, "scopes", "request scopes", Text($"{scopes.Leaks} leaked since the start, the last one {last.Kind} at {last.Where}")));
        }
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
