using Microsoft.Extensions.Logging;

namespace Resilience.Pools;

internal static partial class PoolsLog
{
    [LoggerMessage(EventId = 2000, EventName = "PoolLeak", Level = LogLevel.Warning, Message = "Pool '{pool}': a resource has been leased for {seconds:0.0} s by {holder}; {action}. Stack: {stack}")]
    public static partial void Leaked(ILogger logger, string pool, double seconds, string holder, string action, string stack);

    [LoggerMessage(EventId = 2001, EventName = "PoolBackendDown", Level = LogLevel.Warning, Message = "Pool '{pool}': {failures} attempts to create a resource failed in a row; callers fail at once while nothing is left, and one probe at a time goes on.")]
    public static partial void BackendIsDown(ILogger logger, string pool, int failures, Exception cause);

    [LoggerMessage(EventId = 2002, EventName = "PoolBackendBack", Level = LogLevel.Information, Message = "Pool '{pool}': a resource could be created again.")]
    public static partial void BackendIsBack(ILogger logger, string pool);

    [LoggerMessage(EventId = 2003, EventName = "PoolCheckFailed", Level = LogLevel.Debug, Message = "Pool '{pool}': a resource failed its validation or reset, or nobody could tell whether a failure broke it, and is destroyed.")]
    public static partial void CheckFailed(ILogger logger, string pool, Exception exception);

    [LoggerMessage(EventId = 2004, EventName = "PoolDestroyFailed", Level = LogLevel.Debug, Message = "Pool '{pool}': destroying a resource failed; its place is free again.")]
    public static partial void DestroyFailed(ILogger logger, string pool, Exception exception);

    [LoggerMessage(EventId = 2005, EventName = "PoolCleared", Level = LogLevel.Information, Message = "Pool '{pool}': cleared; generation {generation} begins, the old one goes over {pace} ms.")]
    public static partial void Cleared(ILogger logger, string pool, int generation, double pace);

    [LoggerMessage(EventId = 2006, EventName = "PoolDrained", Level = LogLevel.Information, Message = "Pool '{pool}': drained; {returned} leases came back in time, {reclaimed} were taken away.")]
    public static partial void Drained(ILogger logger, string pool, int returned, int reclaimed);

    [LoggerMessage(EventId = 2007, EventName = "PoolNotWarm", Level = LogLevel.Warning, Message = "Pool '{pool}': only {idle} of {wanted} resources could be created before the start went on.")]
    public static partial void NotWarm(ILogger logger, string pool, int idle, int wanted);

    [LoggerMessage(EventId = 2008, EventName = "PoolResized", Level = LogLevel.Information, Message = "Pool '{pool}': size {from} became {to}, by what leases cost.")]
    public static partial void Resized(ILogger logger, string pool, int from, int to);

    [LoggerMessage(EventId = 2020, EventName = "BatchFailed", Level = LogLevel.Warning, Message = "Batch writer '{writer}': writing {count} items failed; it is tried again until it succeeds.")]
    public static partial void BatchFailed(ILogger logger, string writer, int count, Exception exception);

    [LoggerMessage(EventId = 2021, EventName = "BatchRecovered", Level = LogLevel.Information, Message = "Batch writer '{writer}': writing works again after {failures} failed attempts.")]
    public static partial void BatchRecovered(ILogger logger, string writer, int failures);

    [LoggerMessage(EventId = 2022, EventName = "BatchAbandoned", Level = LogLevel.Error, Message = "Batch writer '{writer}': {count} accepted items could not be written and were handed to the abandon callback.")]
    public static partial void BatchAbandoned(ILogger logger, string writer, int count, Exception? exception);

    [LoggerMessage(EventId = 2023, EventName = "BatchDropped", Level = LogLevel.Warning, Message = "Batch writer '{writer}': its queue is full, items are being dropped ({count} so far).")]
    public static partial void BatchDropped(ILogger logger, string writer, long count);

    [LoggerMessage(EventId = 2024, EventName = "BatchAbandonCallbackFailed", Level = LogLevel.Error, Message = "Batch writer '{writer}': the abandon callback failed.")]
    public static partial void AbandonCallbackFailed(ILogger logger, string writer, Exception exception);
}
