using Microsoft.Extensions.Logging;

namespace Resilience.AspNetCore.Failures;

internal static partial class FailureLog
{
    [LoggerMessage(EventId = 5000, EventName = "Unavailable", Level = LogLevel.Warning, Message = "Requests are answered with 503 because of {subject}: {count} since this was last said. The exception is that of the last one.")]
    public static partial void Unavailable(ILogger logger, string subject, long count, Exception exception);
}
