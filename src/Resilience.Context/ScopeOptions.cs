namespace Resilience.Context;

/// <summary>What a new <see cref="RequestScope"/> begins with. Every part has a sensible default. An instance may be kept and used again.</summary>
public sealed class ScopeOptions
{
    /// <summary>All defaults.</summary>
    internal static readonly ScopeOptions None = new();

    /// <summary>
    /// An identifier for logs; the parent's, or a new one, when it is <see langword="null"/>, the default. One that comes from outside
    /// must be checked first.
    /// </summary>
    public string? Id { get; init; }

    /// <summary>How long the scope's work may take, from now; infinite by default. A parent's shorter deadline wins.</summary>
    public TimeSpan Timeout { get; init; } = System.Threading.Timeout.InfiniteTimeSpan;

    /// <summary>A deadline that stands already, such as a snapshot's; none by default. The earliest of all limits wins.</summary>
    public Deadline Deadline { get; init; }

    /// <summary>
    /// How long the caller can still wait, from now; infinite by default. It only shortens; when it is what decides, the scope says so
    /// with <see cref="RequestScope.IsDeadlineCallerChosen"/>.
    /// </summary>
    public TimeSpan CallerTimeout { get; init; } = System.Threading.Timeout.InfiniteTimeSpan;

    /// <summary>How much the work matters; the parent's priority, or <see cref="Priority.Normal"/>, when <see langword="null"/>.</summary>
    public Priority? Priority { get; init; }

    /// <summary>
    /// A token whose cancellation ends the work: for a request, the host's "the client has gone". It is linked, never handed out. Options that many
    /// scopes share leave it out and give it to <see cref="RequestScope.Begin(ScopeOptions, CancellationToken, string, int)"/>.
    /// </summary>
    public CancellationToken Aborted { get; init; }

    /// <summary>The clock; the parent's, or the system's, when <see langword="null"/>.</summary>
    public TimeProvider? TimeProvider { get; init; }

    /// <summary>What watches the scope; the parent's, or <see cref="ScopeMonitor.Default"/>, when <see langword="null"/>.</summary>
    public ScopeMonitor? Monitor { get; init; }

    /// <summary>
    /// Whether the leak detector never keeps the stack of who begins the scope, which costs some microseconds: for a place in a framework whose stack
    /// is always the same. False by default.
    /// </summary>
    public bool SkipStack { get; init; }

    /// <summary>
    /// Whether the scope is meant to live for long, as that of a web socket is: the leak detector then neither reports nor ends it by its
    /// age. False by default.
    /// </summary>
    public bool LongLived { get; init; }
}
