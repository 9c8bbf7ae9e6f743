using Resilience.Context;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>Request scopes: how many live, which are the oldest, which leaked.</summary>
internal sealed class ScopesPanel(DashboardJournal journal, ScopeMonitor? monitor = null) : IDashboardPanel
{
    private const int MaxOldest = 10;

    public string Area => "scopes";

    public DashboardSnapshot Read(DashboardSnapshot snapshot)
    {
        if (monitor?.Leaks is not { } detector)
        {
            return snapshot;
        }

        (long count, ScopeLeak[] last) = journal.Leaks;
        return snapshot with
        {
            Scopes = new ScopeFigures
            {
                Live = detector.Live,
                Leaks = count,
                LastLeaks = [.. last.Select(leak => Figures(leak, leak.Kind.ToString()))],
                Oldest = [.. detector.Oldest(MaxOldest).Select(scope => Figures(scope, "Live"))],
            },
        };
    }

    private static LeakFigures Figures(ScopeLeak leak, string kind) =>
        new(kind, leak.Age.TotalSeconds, $"{Path.GetFileName(leak.File)}:{leak.Line}", leak.Stack);
}
