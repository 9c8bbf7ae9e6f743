namespace Resilience.Context;

/// <summary>How a scope leaked.</summary>
public enum ScopeLeakKind
{
    /// <summary>It is live, older than it may be and past its deadline.</summary>
    Overdue = 0,

    /// <summary>It was ended by force.</summary>
    Expired = 1,

    /// <summary>It was collected without having been ended.</summary>
    Collected = 2,
}

/// <summary>One leaked scope. Values that it carried are never part of the report.</summary>
/// <param name="Kind">How it leaked.</param>
/// <param name="Id">Its identifier; empty when it was collected.</param>
/// <param name="Age">How long ago it began.</param>
/// <param name="File">The source file that began it.</param>
/// <param name="Line">The line.</param>
/// <param name="Stack">The stack that began it, if it was kept: for a sample of all scopes, and for every scope of a place that has leaked before.</param>
public sealed record ScopeLeak(ScopeLeakKind Kind, string Id, TimeSpan Age, string File, int Line, string? Stack);
