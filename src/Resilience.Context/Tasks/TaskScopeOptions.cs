namespace Resilience.Context;

/// <summary>How a <see cref="TaskScope"/> behaves.</summary>
public sealed class TaskScopeOptions
{
    internal static readonly TaskScopeOptions Default = new();

    /// <summary>How long disposing waits for cancelled tasks, from zero, or infinite; five seconds by default.</summary>
    public TimeSpan JoinTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>A token that cancels the tasks, besides that of the current request scope.</summary>
    public CancellationToken CancellationToken { get; init; }

    /// <summary>The clock for <see cref="JoinTimeout"/>; the system's when <see langword="null"/>.</summary>
    public TimeProvider? TimeProvider { get; init; }

    /// <summary>What is told of stragglers and of failures that nobody joined; <see cref="ScopeMonitor.Default"/> when <see langword="null"/>.</summary>
    public ScopeMonitor? Monitor { get; init; }
}
