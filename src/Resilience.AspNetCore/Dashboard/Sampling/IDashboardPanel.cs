namespace Resilience.AspNetCore.Dashboard;

/// <summary>Reads the figures of one block. Called by one thread at a time, only while somebody watches.</summary>
internal interface IDashboardPanel
{
    /// <summary>The section of the page.</summary>
    string Area { get; }

    /// <summary>Fills in its part.</summary>
    /// <param name="snapshot">What the panels before have filled in.</param>
    DashboardSnapshot Read(DashboardSnapshot snapshot);
}
