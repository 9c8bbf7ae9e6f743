namespace Resilience.AspNetCore.Dashboard;

/// <summary>What somebody did in the dashboard, or what ended by itself.</summary>
/// <param name="At">When, by the wall clock.</param>
/// <param name="Who">The user's name.</param>
/// <param name="What">What was done, such as <c>Off</c>.</param>
/// <param name="Feature">To which feature.</param>
/// <param name="Why">The reason given.</param>
/// <param name="Until">Until when it holds.</param>
internal sealed record AuditEntry(DateTimeOffset At, string Who, string What, string Feature, string Why, DateTimeOffset? Until);

/// <summary>The last changes, newest first. The log has them all; this is what the page shows. Thread-safe.</summary>
internal sealed class DashboardAudit
{
    public const int Capacity = 100;

    private volatile AuditEntry[] _entries = [];
    private readonly Lock _lock = new(); // guards the writes of _entries

    /// <summary>A new array with each change.</summary>
    public AuditEntry[] Entries => _entries;

    public void Add(AuditEntry entry)
    {
        lock (_lock)
        {
            _entries = [entry, .. _entries.Take(Capacity - 1)];
        }
    }
}
