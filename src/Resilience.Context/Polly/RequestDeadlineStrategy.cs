using Polly;

namespace Resilience.Context;

/// <summary>
/// Begins no attempt that the current request cannot pay for, and names the deadline where it stopped one. Needs no state: everything is
/// read from the current scope.
/// </summary>
internal sealed class RequestDeadlineStrategy(RequestDeadlineStrategyOptions options) : ResilienceStrategy
{
    private readonly TimeSpan _needed = options.MinimumUseful;

    protected override ValueTask<Outcome<TResult>> ExecuteCore<TResult, TState>(Func<ResilienceContext, TState, ValueTask<Outcome<TResult>>> callback, ResilienceContext context, TState state)
    {
        RequestScope? scope = RequestScope.Current;
        if (scope is null)
        {
            return callback(context, state);
        }

        Deadline deadline = scope.Deadline;
        if (!deadline.IsNone && deadline.Remaining is var remaining && (remaining < _needed || remaining == TimeSpan.Zero))
        {
            return ValueTask.FromResult(Outcome.FromException<TResult>(RequestDeadline.TooLittle(scope, remaining, _needed, null)));
        }

        return ExecuteWithinAsync(callback, context, state, scope);
    }

    private static async ValueTask<Outcome<TResult>> ExecuteWithinAsync<TResult, TState>(Func<ResilienceContext, TState, ValueTask<Outcome<TResult>>> callback, ResilienceContext context, TState state, RequestScope scope)
    {
        Outcome<TResult> outcome;
        try
        {
            outcome = await callback(context, state).ConfigureAwait(context.ContinueOnCapturedContext);
        }
        catch (Exception exception)
        {
            outcome = Outcome.FromException<TResult>(exception);
        }

        // The inner timeout is the deadline itself, unless a longer pipeline around the attempt was cancelled for a reason of its own.
        return RequestDeadline.IsCauseOf(outcome.Exception, scope)
            ? Outcome.FromException<TResult>(RequestDeadline.Passed(scope, outcome.Exception!))
            : outcome;
    }
}
