using System.Collections.Frozen;
using Microsoft.AspNetCore.Http;
using Resilience.AspNetCore.Failures;
using Resilience.Context;
using Resilience.Settings;

namespace Resilience.AspNetCore.Scopes;

/// <summary>
/// Begins a request scope when a request arrives and ends it when the pipeline has answered; answers by itself when the caller's time is
/// spent before the handler has begun, when the handler was stopped by the deadline, or when it failed because something is not there now.
/// </summary>
internal sealed class RequestScopeMiddleware
{
    private readonly RequestDelegate _next;
    private readonly FailureAnswers _failures;
    private volatile InboundScope _inbound;

    public RequestScopeMiddleware(RequestDelegate next, LiveSettings<ContextSettings> settings, IEnumerable<AcceptedScopeKey> keys, IEnumerable<TrustRule> rules, ScopeMonitor monitor, FailureAnswers failures, TimeProvider timeProvider)
    {
        _next = next;
        _failures = failures;
        var known = keys.Select(accepted => accepted.Key).Distinct().ToFrozenDictionary(key => key.Name, StringComparer.Ordinal);
        Func<HttpContext, bool>[] trusts = [.. rules.Select(rule => rule.Trusts)];
        _inbound = new InboundScope(settings.Current, known, trusts, monitor, timeProvider);
        settings.OnChange(changed => _inbound = new InboundScope(changed, known, trusts, monitor, timeProvider));
    }

    // The scope is begun inside an async method, and on purpose: what such a method sets is seen by all it calls and taken back when it
    // returns, so that nothing stays in the flow of a connection that is kept alive for the next request.
    public async Task InvokeAsync(HttpContext context)
    {
        InboundScope inbound = _inbound;
        bool isTrusted = inbound.IsTrusted(context);
        ScopeOptions options = inbound.Options(context, isTrusted);
        if (options.CallerTimeout == TimeSpan.Zero)
        {
            await _failures.AnswerSpentAsync(context).ConfigureAwait(false);
            return;
        }

        using var scope = RequestScope.Begin(options, context.RequestAborted);
        if (isTrusted)
        {
            inbound.ReadBaggage(context.Request.Headers, scope);
        }

        Failure? failure = null;
        try
        {
            await _next(context).ConfigureAwait(false);
        }
        catch (Exception exception) when ((failure = _failures.Find(context, exception, scope)) is not null)
        {
            await _failures.AnswerAsync(context, failure, exception, scope).ConfigureAwait(false);
        }
    }
}
