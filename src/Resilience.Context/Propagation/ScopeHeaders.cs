namespace Resilience.Context;

/// <summary>The headers in which a scope travels, besides those of the deadline.</summary>
public static class ScopeHeaders
{
    /// <summary>The identifier of the request.</summary>
    public const string RequestId = "X-Request-Id";

    /// <summary>How much the work matters, a <see cref="Context.Priority"/> by name.</summary>
    public const string Priority = "X-Request-Priority";

    /// <summary>Values whose keys have <see cref="ScopeFlow.Propagate"/>, after the W3C baggage format.</summary>
    public const string Baggage = "baggage";

    /// <summary>The name of a priority on the wire.</summary>
    /// <param name="priority">The priority.</param>
    /// <exception cref="ArgumentOutOfRangeException">It is none.</exception>
    public static string WritePriority(Priority priority) => priority switch
    {
        Context.Priority.Critical => "critical",
        Context.Priority.Normal => "normal",
        Context.Priority.Low => "low",
        Context.Priority.Bulk => "bulk",
        _ => throw new ArgumentOutOfRangeException(nameof(priority), priority, "No such priority."),
    };

    /// <summary>Reads a priority; names only, in any case.</summary>
    /// <param name="text">The header's value.</param>
    /// <param name="priority">The priority.</param>
    public static bool TryReadPriority(ReadOnlySpan<char> text, out Priority priority)
    {
        for (priority = Context.Priority.Critical; priority <= Context.Priority.Bulk; priority++)
        {
            if (text.Equals(WritePriority(priority), StringComparison.OrdinalIgnoreCase))
            {
                return true;
            }
        }

        priority = Context.Priority.Normal;
        return false;
    }

    /// <summary>Whether text may be the identifier of a request: one to 128 letters, digits, dots, underscores or hyphens.</summary>
    /// <param name="text">The header's value.</param>
    public static bool IsRequestId(string? text) => ScopeId.IsValid(text);
}
