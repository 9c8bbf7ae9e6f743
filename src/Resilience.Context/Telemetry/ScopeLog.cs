using Microsoft.Extensions.Logging;

namespace Resilience.Context;

internal static partial class ScopeLog
{
    [LoggerMessage(EventId = 1000, EventName = "ScopeOverdue", Level = LogLevel.Warning, Message = "{count} request scope(s) begun at {file}:{line} have not been ended; the oldest, '{id}', is {ageSeconds:0.#} s old. Dispose the scope where its work ends. Begun at: {stack}")]
    public static partial void Overdue(ILogger logger, int count, string file, int line, string id, double ageSeconds, string stack);

    [LoggerMessage(EventId = 1001, EventName = "ScopeExpired", Level = LogLevel.Error, Message = "{count} request scope(s) begun at {file}:{line} were ended by force, so that what they carry can be collected; the oldest, '{id}', was {ageSeconds:0.#} s old. Dispose the scope where its work ends, or begin it with LongLived. Begun at: {stack}")]
    public static partial void Expired(ILogger logger, int count, string file, int line, string id, double ageSeconds, string stack);

    [LoggerMessage(EventId = 1002, EventName = "ScopeCollected", Level = LogLevel.Warning, Message = "{count} request scope(s) begun at {file}:{line} were dropped without being ended: their tokens were never cancelled and what they owned was never disposed. Begun at: {stack}")]
    public static partial void Collected(ILogger logger, int count, string file, int line, string stack);

    [LoggerMessage(EventId = 1003, EventName = "ScopeChildrenEnded", Level = LogLevel.Debug, Message = "Request scope '{id}' ended while {count} of its children were live; they were ended with it.")]
    public static partial void ChildrenEnded(ILogger logger, string id, int count);

    [LoggerMessage(EventId = 1004, EventName = "ScopeOwnedFailed", Level = LogLevel.Error, Message = "A {type} that a request scope owned failed to dispose; {count} such failures so far.")]
    public static partial void OwnedFailed(ILogger logger, string type, long count, Exception exception);

    [LoggerMessage(EventId = 1005, EventName = "ScopeCallbackFailed", Level = LogLevel.Error, Message = "A callback on the token of a request scope failed; {count} such failures so far.")]
    public static partial void CallbackFailed(ILogger logger, long count, Exception exception);

    [LoggerMessage(EventId = 1006, EventName = "LeakListenerFailed", Level = LogLevel.Error, Message = "A listener for leaked request scopes failed.")]
    public static partial void LeakListenerFailed(ILogger logger, Exception exception);

    [LoggerMessage(EventId = 1007, EventName = "ScopeEndedLate", Level = LogLevel.Information, Message = "Request scope '{id}', begun at {file}:{line} and reported as not ended, has ended after {ageSeconds:0.#} s: it was late, not leaked.")]
    public static partial void EndedLate(ILogger logger, string id, string file, int line, double ageSeconds);

    [LoggerMessage(EventId = 1010, EventName = "TaskScopeStragglers", Level = LogLevel.Warning, Message = "{count} task(s) of a task scope did not end within {timeoutMilliseconds:0} ms of being cancelled and run on by themselves. Pass the token on to whatever they wait for.")]
    public static partial void Stragglers(ILogger logger, int count, double timeoutMilliseconds);

    [LoggerMessage(EventId = 1011, EventName = "TaskScopeUnjoinedFailure", Level = LogLevel.Error, Message = "A task of a task scope failed and the scope was disposed without being joined.")]
    public static partial void UnjoinedFailure(ILogger logger, Exception exception);

    [LoggerMessage(EventId = 1020, EventName = "WorkFailed", Level = LogLevel.Error, Message = "Background work in queue '{queue}' failed for request '{id}'.")]
    public static partial void WorkFailed(ILogger logger, string queue, string id, Exception exception);

    [LoggerMessage(EventId = 1021, EventName = "WorkAbandoned", Level = LogLevel.Warning, Message = "Queue '{queue}' abandoned {count} item(s) of background work: {reason}.")]
    public static partial void Abandoned(ILogger logger, string queue, long count, WorkAbandonReason reason);

    [LoggerMessage(EventId = 1022, EventName = "WorkAbandonFailed", Level = LogLevel.Error, Message = "OnAbandoned of queue '{queue}' failed for request '{id}'.")]
    public static partial void AbandonFailed(ILogger logger, string queue, string id, Exception exception);

    [LoggerMessage(EventId = 1023, EventName = "QueueDraining", Level = LogLevel.Information, Message = "Queue '{queue}' takes no more work and drains {waiting} waiting and {running} running item(s) for at most {timeoutSeconds:0.#} s.")]
    public static partial void Draining(ILogger logger, string queue, int waiting, int running, double timeoutSeconds);

    [LoggerMessage(EventId = 1024, EventName = "QueueStopped", Level = LogLevel.Information, Message = "Queue '{queue}' has stopped: {accepted} accepted, {run} run, {abandoned} abandoned.")]
    public static partial void Stopped(ILogger logger, string queue, long accepted, long run, long abandoned);

    [LoggerMessage(EventId = 1025, EventName = "QueueRejecting", Level = LogLevel.Warning, Message = "Queue '{queue}' is full ({capacity} items) and has begun to refuse work.")]
    public static partial void Rejecting(ILogger logger, string queue, int capacity);

    [LoggerMessage(EventId = 1026, EventName = "QueueAccepting", Level = LogLevel.Information, Message = "Queue '{queue}' takes work again after refusing {count} item(s).")]
    public static partial void Accepting(ILogger logger, string queue, long count);

    [LoggerMessage(EventId = 1027, EventName = "WorkOutlivedStop", Level = LogLevel.Warning, Message = "Background work in queue '{queue}' for request '{id}' went on after the queue had stopped and abandoned it.")]
    public static partial void OutlivedStop(ILogger logger, string queue, string id);
}
