using Microsoft.Extensions.Logging;

namespace Resilience.Redis;

internal static partial class RedisLog
{
    [LoggerMessage(EventId = 7000, EventName = "LimiterAway", Level = LogLevel.Warning, Message = "Limit '{name}': Redis does not answer; this node goes on with its share, one part in {nodes}. Told once until it answers again.")]
    public static partial void LimiterAway(ILogger logger, string name, int nodes, Exception exception);

    [LoggerMessage(EventId = 7001, EventName = "LimiterBack", Level = LogLevel.Information, Message = "Limit '{name}': Redis answers again after {failures} failed attempts; the limit is the fleet's again.")]
    public static partial void LimiterBack(ILogger logger, string name, long failures);

    [LoggerMessage(EventId = 7010, EventName = "OverrideUnreadable", Level = LogLevel.Warning, Message = "An override in Redis was not accepted: {problem}. Told once for each text.")]
    public static partial void OverrideUnreadable(ILogger logger, string problem);

    [LoggerMessage(EventId = 7020, EventName = "ConnectionReplaced", Level = LogLevel.Warning, Message = "Redis gave no answer for {seconds} s through the connection that there was ({silent}) and answers through a new one, which has taken its place.")]
    public static partial void ConnectionReplaced(ILogger logger, double seconds, string silent);
}
