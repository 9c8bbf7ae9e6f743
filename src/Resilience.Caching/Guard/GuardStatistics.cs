namespace Resilience.Caching.Guard;

/// <summary>A guard at one moment.</summary>
public sealed record GuardStatistics
{
    /// <summary>What it is doing.</summary>
    public required GuardState State { get; init; }

    /// <summary>Reads that were refused, since the start.</summary>
    public required long Refusals { get; init; }

    /// <summary>Reads that the filter would have refused but that passed because the guard was not ready or not fresh.</summary>
    public required long Withheld { get; init; }

    /// <summary>Refusals that were let through as a sample.</summary>
    public required long Audits { get; init; }

    /// <summary>Refused keys that turned out to exist.</summary>
    public required long Contradictions { get; init; }

    /// <summary>Additions, since the start.</summary>
    public required long Additions { get; init; }

    /// <summary>Rebuilds that succeeded.</summary>
    public required long Rebuilds { get; init; }

    /// <summary>Rebuilds that failed.</summary>
    public required long FailedRebuilds { get; init; }

    /// <summary>Distinct keys in the filter, less those that were false positives on arrival.</summary>
    public required long Keys { get; init; }

    /// <summary>The size of the filter in bytes.</summary>
    public required long Bytes { get; init; }

    /// <summary>The share of the filter's bits that are set, from a sample.</summary>
    public required double Fill { get; init; }

    /// <summary>The share of absent keys that pass, estimated from a sample of the filter's bits.</summary>
    public required double EstimatedFalsePositiveRate { get; init; }

    /// <summary>The age of the filter, from the start of its snapshot; <see langword="null"/> when there is none.</summary>
    public required TimeSpan? Age { get; init; }

    /// <summary>What went wrong in the last rebuild or journal access, <see langword="null"/> when nothing did.</summary>
    public required string? LastError { get; init; }
}
