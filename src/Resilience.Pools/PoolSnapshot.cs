namespace Resilience.Pools;

/// <summary>A pool at one moment. Counts are taken one after the other, so that under load they may be off by what moved meanwhile.</summary>
public sealed record PoolSnapshot
{
    /// <summary>The name of the pool.</summary>
    public required string Name { get; init; }

    /// <summary><see cref="PoolOptions.MaxSize"/>.</summary>
    public required int MaxSize { get; init; }

    /// <summary>How many resources may exist at present: less than <see cref="MaxSize"/> only with adaptive sizing.</summary>
    public required int Limit { get; init; }

    /// <summary><see cref="PoolOptions.MinIdle"/>.</summary>
    public required int MinIdle { get; init; }

    /// <summary>How many places are taken: idle, leased, in creation, in the pool's own hands, in destruction.</summary>
    public required int Open { get; init; }

    /// <summary>How many resources may be taken at once.</summary>
    public required int Idle { get; init; }

    /// <summary>How many are leased.</summary>
    public required int Leased { get; init; }

    /// <summary>How many are being created.</summary>
    public required int Creating { get; init; }

    /// <summary>How many are being validated or reset.</summary>
    public required int Checking { get; init; }

    /// <summary>How many are being destroyed.</summary>
    public required int Closing { get; init; }

    /// <summary>How many callers wait.</summary>
    public required int Waiting { get; init; }

    /// <summary>What creation is up to.</summary>
    public required PoolBackendState Backend { get; init; }

    /// <summary>How many creations have failed in a row.</summary>
    public required int CreateFailures { get; init; }

    /// <summary>Whether the pool drains or is closed.</summary>
    public required bool IsClosed { get; init; }

    /// <summary>How many waits ended without a resource, since the pool was made: timeouts and refusals, cancellations not included.</summary>
    public required long Timeouts { get; init; }

    /// <summary>How many leaks were reported, since the pool was made.</summary>
    public required long Leaks { get; init; }

    /// <summary>How long ago the last leak was reported; <see langword="null"/> if none ever was.</summary>
    public TimeSpan? SinceLastLeak { get; init; }

    /// <summary>How many leases were reclaimed, since the pool was made.</summary>
    public required long Reclaims { get; init; }

    /// <summary>How many returns came for leases that had ended, since the pool was made.</summary>
    public required long StaleReturns { get; init; }

    /// <summary>How many resources were created, since the pool was made.</summary>
    public required long Created { get; init; }

    /// <summary>How many resources were destroyed, since the pool was made.</summary>
    public required long Destroyed { get; init; }

    /// <summary>Who holds what, oldest first.</summary>
    public required IReadOnlyList<PoolHolder> Holders { get; init; }
}

/// <summary>Whether resources can be created.</summary>
public enum PoolBackendState
{
    /// <summary>The last attempt succeeded, or there was none.</summary>
    Up,

    /// <summary>The last attempt failed; one attempt at a time is made, with growing pauses.</summary>
    Failing,

    /// <summary>So many failed in a row that callers do not wait for it; one probe at a time is made.</summary>
    Down,
}

/// <summary>Who holds a resource.</summary>
public sealed record PoolHolder
{
    /// <summary>How long the lease has been held; too long by up to a quarter of a second where the pool's limits are above two seconds.</summary>
    public required TimeSpan Age { get; init; }

    /// <summary>The tag of the request, if it had one.</summary>
    public string? Tag { get; init; }

    /// <summary>The source file of the call, if the compiler knew.</summary>
    public string? File { get; init; }

    /// <summary>The line of the call; 0 if unknown.</summary>
    public int Line { get; init; }

    /// <summary>The stack of the call, if it was sampled.</summary>
    public string? Stack { get; init; }

    /// <summary>Tag and call site in a few words; empty if nothing is known.</summary>
    public string Where => (Tag, File) switch
    {
        (null, null or "") => "",
        (null, _) => $"{Path.GetFileName(File)}:{Line}",
        (_, null or "") => $"'{Tag}'",
        _ => $"'{Tag}' {Path.GetFileName(File)}:{Line}",
    };
}

/// <summary>How much of a pool is wanted at a moment.</summary>
/// <param name="Leased">How many resources are leased.</param>
/// <param name="Waiting">How many callers wait.</param>
/// <param name="Limit">How many resources may exist.</param>
/// <param name="Backend">Whether resources can be created.</param>
public readonly record struct PoolOccupancy(int Leased, int Waiting, int Limit, PoolBackendState Backend)
{
    /// <summary>The leased share, from 0 to 1; above 1 only while the pool shrinks.</summary>
    public double Utilization => Limit > 0 ? (double)Leased / Limit : 0;
}
