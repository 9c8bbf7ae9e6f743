namespace Resilience.Context;

/// <summary>
/// How much a piece of work matters when not all of it can be done. Carried by the request scope; read by admission,
/// by pools (who waits first) and by features (what is switched off first).
/// </summary>
/// <remarks>The order of the values is the order of importance: a smaller value matters more.</remarks>
public enum Priority
{
    /// <summary>Must succeed while anything does: checkout, payment, sign-in.</summary>
    Critical = 0,

    /// <summary>What is not said otherwise.</summary>
    Normal = 1,

    /// <summary>Nice to have: recommendations, comments, counters.</summary>
    Low = 2,

    /// <summary>Nobody is waiting: exports, pre-fetching, crawlers.</summary>
    Bulk = 3,
}
