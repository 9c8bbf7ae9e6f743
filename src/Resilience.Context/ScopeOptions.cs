namespace Resilience.Context;

/// <summary>What a new <see cref="RequestScope"/> begins with. Every part has a sensible default.</summary>
public sealed class ScopeOptions
{
    /// <summary>An identifier for logs; a new one is made when it is <see langword="null"/>, the default.</summary>
    public string? Id { get; init; }

    /// <summary>How long the scope's work may take, from now; infinite by default. A parent's shorter deadline wins.</summary>
    public TimeSpan Timeout { get; init; } = System.Threading.Timeout.InfiniteTimeSpan;

    /// <summary>How much the work matters; the parent's priority, or <see cref="Priority.Normal"/>, when <see langword="null"/>.</summary>
    public Priority? Priority { get; init; }

    /// <summary>A token whose cancellation ends the work: for a request, the host's "the client has gone". It is linked, never handed out.</summary>
    public CancellationToken Aborted { get; init; }

    /// <summary>The clock; the parent's, or the system's, when <see langword="null"/>.</summary>
    public TimeProvider? TimeProvider { get; init; }
}
