using Microsoft.Extensions.Logging;

namespace Resilience.TestKit;

/// <summary>One thing that was logged.</summary>
/// <param name="Level">How grave it is.</param>
/// <param name="Category">The logger's category.</param>
/// <param name="Id">The event's id and name.</param>
/// <param name="Message">The formatted message.</param>
/// <param name="Exception">The exception that came with it, if any.</param>
/// <param name="Values">The named values of the message, with <c>{OriginalFormat}</c>.</param>
/// <param name="Scopes">The log scopes it was written in, outermost first.</param>
public sealed record LogEntry(
    LogLevel Level,
    string Category,
    EventId Id,
    string Message,
    Exception? Exception,
    IReadOnlyDictionary<string, object?> Values,
    IReadOnlyList<object?> Scopes)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Level} {Category}[{Id.Id}] {Message}{(Exception is null ? "" : $" ({Exception.GetType().Name})")}";
}
