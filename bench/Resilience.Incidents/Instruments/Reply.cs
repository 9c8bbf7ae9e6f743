namespace Resilience.Incidents.Instruments;

/// <summary>How a request ended, as its caller saw it.</summary>
internal enum Reply
{
    /// <summary>The right answer, in time.</summary>
    Ok,

    /// <summary>An answer of lesser quality on purpose: a stale copy, a fallback.</summary>
    Degraded,

    /// <summary>Turned away at the door.</summary>
    Refused,

    /// <summary>An error, or no answer within the caller's patience.</summary>
    Failed,

    /// <summary>An answer that is not true.</summary>
    Wrong,
}
