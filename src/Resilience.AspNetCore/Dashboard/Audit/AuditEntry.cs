namespace Resilience.AspNetCore.Dashboard;

/// <summary>What somebody did to a feature, or what ended by itself.</summary>
/// <param name="At">When, by the wall clock.</param>
/// <param name="Who">The user's name.</param>
/// <param name="What">What was done, such as <c>Off</c>.</param>
/// <param name="Feature">To which feature.</param>
/// <param name="Why">The reason given.</param>
/// <param name="Until">Until when it holds.</param>
internal sealed record AuditEntry(DateTimeOffset At, string Who, string What, string Feature, string Why, DateTimeOffset? Until);
