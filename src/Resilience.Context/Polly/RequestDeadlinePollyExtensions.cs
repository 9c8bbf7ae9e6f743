using System.Diagnostics.CodeAnalysis;
using Polly.Retry;
using Polly.Timeout;
using Resilience.Context;

namespace Polly;

/// <summary>Brings the deadline of the current request into Polly's pipelines.</summary>
public static class RequestDeadlinePollyExtensions
{
    /// <summary>
    /// Adds a strategy that begins no attempt the current request cannot pay for and cancels an attempt at the request's deadline. Put it inside
    /// retries, so that each attempt is weighed; without a current scope it does nothing.
    /// </summary>
    /// <typeparam name="TBuilder">The builder.</typeparam>
    /// <param name="builder">The builder.</param>
    /// <param name="options">More; defaults when <see langword="null"/>.</param>
    /// <returns>The builder.</returns>
    /// <remarks>
    /// A caller that hangs up is not seen by it: pass <see cref="RequestScope.Token"/> to the pipeline for that. What is refused or cancelled fails with <see cref="DeadlineExceededException"/>, a cancellation: by default neither retries nor
    /// breakers of Polly handle it. A breaker that should count our own limits handles those whose
    /// <see cref="DeadlineExceededException.IsCallerChosen"/> is false.
    /// </remarks>
    [UnconditionalSuppressMessage("Trimming", "IL2026", Justification = "The options have one property besides Polly's own, and it is kept by the attribute below.")]
    [DynamicDependency(DynamicallyAccessedMemberTypes.All, typeof(RequestDeadlineStrategyOptions))]
    public static TBuilder AddRequestDeadline<TBuilder>(this TBuilder builder, RequestDeadlineStrategyOptions? options = null)
        where TBuilder : ResiliencePipelineBuilderBase
    {
        ArgumentNullException.ThrowIfNull(builder);
        options ??= new RequestDeadlineStrategyOptions();
        builder.AddStrategy(_ => new RequestDeadlineStrategy(options), options);

        // Only Polly's own strategies can give the attempt another token, so its timeout does the cancelling.
        return builder.AddTimeout(new TimeoutStrategyOptions
        {
            Name = options.Name + ".Timeout",
            TimeoutGenerator = static _ => ValueTask.FromResult(RequestDeadline.TimerFor(RequestScope.Current?.Deadline ?? Deadline.None)),
        });
    }

    /// <summary>
    /// Lets a retry stop at once, with the last failure inside a <see cref="DeadlineExceededException"/>, when its delay would leave too
    /// little of the current request's deadline for another attempt.
    /// </summary>
    /// <typeparam name="TResult">The result of the pipeline.</typeparam>
    /// <param name="options">The retry.</param>
    /// <param name="minimumUseful">The least that must be left after the delay; 5 ms when <see langword="null"/>.</param>
    /// <returns>The options.</returns>
    public static RetryStrategyOptions<TResult> StopAtRequestDeadline<TResult>(this RetryStrategyOptions<TResult> options, TimeSpan? minimumUseful = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        TimeSpan needed = minimumUseful ?? TimeSpan.FromMilliseconds(5);
        Func<OnRetryArguments<TResult>, ValueTask>? next = options.OnRetry;
        options.OnRetry = arguments =>
        {
            if (RequestScope.Current is { Deadline: { IsNone: false } deadline } scope
                && deadline.Remaining is var remaining && remaining < arguments.RetryDelay + needed)
            {
                throw RequestDeadline.TooLittle(scope, remaining, arguments.RetryDelay + needed, arguments.Outcome.Exception);
            }

            return next?.Invoke(arguments) ?? ValueTask.CompletedTask;
        };
        return options;
    }
}
