namespace Resilience.Context;

/// <summary>Why background work was accepted and then not run to its end.</summary>
public enum WorkAbandonReason
{
    /// <summary>The process stopped before a worker had taken it.</summary>
    NotStarted = 0,

    /// <summary>It was running when the time to drain was over, and ended when it was cancelled.</summary>
    Cancelled = 1,

    /// <summary>It was running when the time to drain was over, and did not end within the grace either.</summary>
    StillRunning = 2,

    /// <summary>The deadline of its snapshot had passed before a worker took it.</summary>
    Expired = 3,

    /// <summary>The queue was full and dropped it for newer work.</summary>
    Dropped = 4,
}

/// <summary>Background work that was accepted and not run to its end; what is needed to keep it for later.</summary>
/// <param name="Queue">The name of the queue.</param>
/// <param name="Reason">Why it was abandoned.</param>
/// <param name="Snapshot">What it took along of its request.</param>
/// <param name="State">The state that it was enqueued with.</param>
public sealed record AbandonedWork(string Queue, WorkAbandonReason Reason, ScopeSnapshot Snapshot, object? State);
