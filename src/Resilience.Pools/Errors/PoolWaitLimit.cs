namespace Resilience.Pools;

/// <summary>What ended a wait for a resource.</summary>
public enum PoolWaitLimit
{
    /// <summary><see cref="PoolOptions.AcquireTimeout"/>, or the timeout of the one request.</summary>
    AcquireTimeout,

    /// <summary>The deadline of the request scope: the caller's own caller would not have waited longer.</summary>
    RequestDeadline,

    /// <summary>The queue stood, and newcomers wait no longer than <see cref="PoolOptions.CoDelTarget"/>.</summary>
    StandingQueue,

    /// <summary>There was no room among the waiting (<see cref="PoolOptions.MaxWaiters"/>), or it was needed for somebody of higher priority.</summary>
    QueueFull,
}
