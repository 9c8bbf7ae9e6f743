namespace Resilience.Context;

/// <summary>The errors of work that ran into the deadline of its request.</summary>
internal static class RequestDeadline
{
    public static DeadlineExceededException TooLittle(RequestScope scope, TimeSpan remaining, TimeSpan needed, Exception? inner)
    {
        bool isCallerChosen = scope.IsDeadlineCallerChosen;
        (scope.State?.Monitor ?? ScopeMonitor.Default).Metrics.DeadlineExceeded("attempt", isCallerChosen);
        return new DeadlineExceededException(
            $"Request '{scope.Id}' has {remaining.TotalMilliseconds:0.#} ms left and an attempt needs {needed.TotalMilliseconds:0.#} ms, so none was begun.",
            remaining, needed, isCallerChosen, inner);
    }

    public static DeadlineExceededException Passed(RequestScope scope, Exception inner)
    {
        bool isCallerChosen = scope.IsDeadlineCallerChosen;
        (scope.State?.Monitor ?? ScopeMonitor.Default).Metrics.DeadlineExceeded("running", isCallerChosen);
        return new DeadlineExceededException(
            $"The deadline of request '{scope.Id}' passed while an attempt was running.",
            TimeSpan.Zero, TimeSpan.Zero, isCallerChosen, inner, (inner as OperationCanceledException)?.CancellationToken ?? default);
    }
}
