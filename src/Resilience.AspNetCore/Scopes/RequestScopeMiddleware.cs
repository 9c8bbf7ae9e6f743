using Microsoft.AspNetCore.Http;
using Resilience.Context;
using Resilience.Settings;

namespace Resilience.AspNetCore.Scopes;

/// <summary>Begins a request scope when a request arrives and ends it when the pipeline has answered.</summary>
internal sealed class RequestScopeMiddleware(RequestDelegate next, LiveSettings<ContextSettings> settings, TimeProvider timeProvider)
{
    // The scope is begun inside an async method, and on purpose: what such a method sets is seen by all it calls and taken back when it
    // returns, so that nothing stays in the flow of a connection that is kept alive for the next request.
    public async Task InvokeAsync(HttpContext context)
    {
        ContextSettings current = settings.Current;
        using RequestScope scope = RequestScope.Begin(new ScopeOptions
        {
            Timeout = current.DefaultTimeout,
            Aborted = context.RequestAborted,
            TimeProvider = timeProvider,
        });
        await next(context).ConfigureAwait(false);
    }
}
