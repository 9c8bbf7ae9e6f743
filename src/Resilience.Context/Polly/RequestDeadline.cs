using Polly.Timeout;

namespace Resilience.Context;

/// <summary>The errors of work that ran into the deadline of its request.</summary>
internal static class RequestDeadline
{
    /// <summary>How much earlier than the clock a timer may fire.</summary>
    private static readonly TimeSpan TimerSlack = TimeSpan.FromMilliseconds(1);

    /// <summary>The longest that a timer of the platform takes.</summary>
    private static readonly TimeSpan LongestTimer = TimeSpan.FromMilliseconds(uint.MaxValue - 1);

    /// <summary>
    /// What a timer is to be set to for a deadline: by the exact clock, in whole milliseconds rounded up, since timers drop fractions. Never
    /// zero, which a timeout of Polly takes for none.
    /// </summary>
    public static TimeSpan TimerFor(Deadline deadline)
    {
        TimeSpan remaining = deadline.ExactRemaining;
        return deadline.IsNone || remaining > LongestTimer
            ? Timeout.InfiniteTimeSpan
            : TimeSpan.FromMilliseconds(Math.Max(1, Math.Ceiling(remaining.TotalMilliseconds)));
    }

    /// <summary>Whether what stopped an attempt was the deadline of its request.</summary>
    public static bool IsCauseOf(Exception? stopped, RequestScope scope) => stopped switch
    {
        DeadlineExceededException => false,
        TimeoutRejectedException => scope.Cause == ScopeCause.Deadline || (scope.Deadline is { IsNone: false } deadline && deadline.ExactRemaining <= TimerSlack),
        OperationCanceledException => scope.Cause == ScopeCause.Deadline,
        _ => false,
    };

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
