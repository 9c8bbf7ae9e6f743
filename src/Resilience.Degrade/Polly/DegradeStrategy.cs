using System.Net;
using System.Threading.RateLimiting;
using Polly;
using Polly.Timeout;
using Resilience.Context;

namespace Resilience.Degrade;

/// <summary>Names a strategy in Polly's telemetry.</summary>
internal sealed class DegradeStrategyOptions : ResilienceStrategyOptions
{
    public DegradeStrategyOptions(string name)
    {
        Name = name;
    }
}

/// <summary>What the strategies share.</summary>
internal static class DegradeStrategy
{
    /// <summary>Whether a failure means that there is too much to do, rather than that the call was wrong.</summary>
    public static bool IsOverload(Exception exception) => exception switch
    {
        HttpRequestException { StatusCode: { } status } => IsOverload(status), // "not found" is an answer like any other
        RefusedException or TimeoutException or TimeoutRejectedException or DeadlineExceededException or HttpRequestException => true,
        _ => false,
    };

    /// <summary>Whether an answer says "too much": pipelines around an <see cref="HttpClient"/> see answers, not exceptions.</summary>
    public static bool IsOverload<TResult>(TResult? result) => result is HttpResponseMessage response && IsOverload(response.StatusCode);

    public static bool IsOverload(HttpStatusCode status) =>
        status is HttpStatusCode.TooManyRequests or HttpStatusCode.BadGateway or HttpStatusCode.ServiceUnavailable or HttpStatusCode.GatewayTimeout;
}

internal sealed class FeatureStrategy(Feature feature, IDegradation degradation) : ResilienceStrategy
{
    protected override ValueTask<Outcome<TResult>> ExecuteCore<TResult, TState>(Func<ResilienceContext, TState, ValueTask<Outcome<TResult>>> callback, ResilienceContext context, TState state)
    {
        FeatureDecision decision = degradation.Decide(feature);
        return decision.State != FeatureState.Off
            ? callback(context, state)
            : Outcome.FromExceptionAsValueTask<TResult>(new FeatureUnavailableException(
                decision,
                FeatureUnavailableReason.Off,
                $"Feature '{feature.Name}' is off ({decision.Source}: {decision.Reason})."));
    }
}

internal sealed class AdmissionStrategy(AdmissionController admission, Priority priority) : ResilienceStrategy
{
    protected override ValueTask<Outcome<TResult>> ExecuteCore<TResult, TState>(Func<ResilienceContext, TState, ValueTask<Outcome<TResult>>> callback, ResilienceContext context, TState state)
    {
        Priority own = RequestScope.Current?.Priority ?? priority;
        AdmissionResult result = admission.TryEnter(own, out AdmissionTicket ticket);
        return result == AdmissionResult.Admitted
            ? RunAsync(callback, context, state, ticket)
            : Outcome.FromExceptionAsValueTask<TResult>(new RefusedException(
                $"Work of {own} priority was not admitted ({result}): {admission.Inside} are inside, {admission.LimitOf(own)} may be.", TimeSpan.FromSeconds(Random.Shared.Next(1, 6))));
    }

    private async ValueTask<Outcome<TResult>> RunAsync<TResult, TState>(Func<ResilienceContext, TState, ValueTask<Outcome<TResult>>> callback, ResilienceContext context, TState state, AdmissionTicket ticket)
    {
        var ended = AdmissionOutcome.Ignore;
        try
        {
            Outcome<TResult> outcome = await callback(context, state).ConfigureAwait(context.ContinueOnCapturedContext);
            ended = outcome.Exception is null ? AdmissionOutcome.Success : AdmissionOutcome.Ignore;
            return outcome;
        }
        finally
        {
            admission.Leave(ticket, ended);
        }
    }
}

internal sealed class LimiterStrategy(RateLimiter limiter) : ResilienceStrategy
{
    protected override async ValueTask<Outcome<TResult>> ExecuteCore<TResult, TState>(Func<ResilienceContext, TState, ValueTask<Outcome<TResult>>> callback, ResilienceContext context, TState state)
    {
        using RateLimitLease lease = await limiter.AcquireAsync(1, context.CancellationToken).ConfigureAwait(context.ContinueOnCapturedContext);
        if (!lease.IsAcquired)
        {
            TimeSpan? retryAfter = lease.TryGetMetadata(MetadataName.RetryAfter, out TimeSpan after) ? after : null;
            return Outcome.FromException<TResult>(new RefusedException("The limiter has no permit left for this call. Come back later or ask less.", retryAfter));
        }

        Outcome<TResult> outcome = await callback(context, state).ConfigureAwait(context.ContinueOnCapturedContext);
        (lease as AdaptiveLease)?.Report(outcome.Exception switch
        {
            null => DegradeStrategy.IsOverload(outcome.Result) ? LimitOutcome.Drop : LimitOutcome.Success,
            { } exception when DegradeStrategy.IsOverload(exception) => LimitOutcome.Drop,
            _ => LimitOutcome.Ignore,
        });
        return outcome;
    }
}

internal sealed class ThrottleStrategy(ClientThrottle throttle, Func<Exception, bool> isOverload) : ResilienceStrategy
{
    protected override async ValueTask<Outcome<TResult>> ExecuteCore<TResult, TState>(Func<ResilienceContext, TState, ValueTask<Outcome<TResult>>> callback, ResilienceContext context, TState state)
    {
        if (!throttle.TryBegin())
        {
            return Outcome.FromException<TResult>(new RefusedException(
                $"The call was not made: the backend refuses so many that {throttle.RefusalProbability:P0} are refused at the client.", null));
        }

        Outcome<TResult> outcome = await callback(context, state).ConfigureAwait(context.ContinueOnCapturedContext);
        throttle.Report(outcome.Exception is { } exception ? !isOverload(exception) : !DegradeStrategy.IsOverload(outcome.Result));
        return outcome;
    }
}
