namespace Resilience.Degrade;

/// <summary>What an operator has said of a feature: a state for a while, or that a former override ends.</summary>
public sealed record OverrideCommand
{
    /// <summary>The name of the feature.</summary>
    public required string Feature { get; init; }

    /// <summary>The state to hold; <see langword="null"/> lifts the override.</summary>
    public FeatureState? State { get; init; }

    /// <summary>Why; not empty.</summary>
    public required string Reason { get; init; }

    /// <summary>Who said it; not empty.</summary>
    public required string Who { get; init; }

    /// <summary>When it was said, by the wall clock of whoever said it.</summary>
    public required DateTimeOffset IssuedAt { get; init; }

    /// <summary>How long it holds from then on.</summary>
    public TimeSpan Ttl { get; init; }

    /// <summary>Given by the store, greater with every command; 0 before.</summary>
    public long Revision { get; init; }

    /// <summary>Makes each command one of its kind, so that a recorded one cannot be played again.</summary>
    public string Nonce { get; init; } = "";

    /// <summary>When it ends, by the wall clock.</summary>
    public DateTimeOffset ExpiresAt => IssuedAt + Ttl;
}

/// <summary>What is written down of a command before it takes effect.</summary>
/// <param name="At">When.</param>
/// <param name="Command">The command.</param>
/// <param name="Before">The state before.</param>
/// <param name="Result">What became of it: applied, or why not.</param>
public sealed record OverrideAuditEntry(DateTimeOffset At, OverrideCommand Command, FeatureState Before, string Result);
