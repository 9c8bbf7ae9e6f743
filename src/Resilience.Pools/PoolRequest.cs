using Resilience.Context;

namespace Resilience.Pools;

/// <summary>How one resource is asked for, where it differs from the pool's settings. The default value differs in nothing.</summary>
public readonly record struct PoolRequest
{
    /// <summary>The longest wait; <see cref="PoolOptions.AcquireTimeout"/> when <see langword="null"/>. Zero: take what is idle or fail.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>Who is served first; the priority of the request scope when <see langword="null"/>.</summary>
    public Priority? Priority { get; init; }

    /// <summary>A word for reports of leaks and exhaustion, such as the name of the operation. Not user data: it stands in logs.</summary>
    public string? Tag { get; init; }
}
