using System.Collections.Frozen;
using System.Globalization;
using Microsoft.AspNetCore.Http;
using Resilience.Context;
using Resilience.Settings;

namespace Resilience.AspNetCore.Scopes;

/// <summary>
/// Begins a request scope when a request arrives and ends it when the pipeline has answered; answers by itself when the caller's time is
/// spent before the handler has begun, or when the handler was stopped by the deadline.
/// </summary>
internal sealed class RequestScopeMiddleware
{
    private const int GrpcDeadlineExceeded = 4;

    private readonly RequestDelegate _next;
    private readonly ScopeMonitor _monitor;
    private volatile InboundScope _inbound;

    public RequestScopeMiddleware(RequestDelegate next, LiveSettings<ContextSettings> settings, IEnumerable<AcceptedScopeKey> keys, IEnumerable<TrustRule> rules, ScopeMonitor monitor, TimeProvider timeProvider)
    {
        _next = next;
        _monitor = monitor;
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
            _monitor.NoteDeadlineExceeded("inbound", isCallerChosen: true);
            Answer(context);
            return;
        }

        using var scope = RequestScope.Begin(options, context.RequestAborted);
        if (isTrusted)
        {
            inbound.ReadBaggage(context.Request.Headers, scope);
        }

        try
        {
            await _next(context).ConfigureAwait(false);
        }
        catch (OperationCanceledException exception) when (!context.Response.HasStarted && (exception is DeadlineExceededException || scope.Cause == ScopeCause.Deadline))
        {
            _monitor.NoteDeadlineExceeded("handler", scope.IsDeadlineCallerChosen);
            Answer(context);
        }
    }

    private static void Answer(HttpContext context)
    {
        context.Response.Clear();
        if (!InboundScope.IsGrpc(context.Request))
        {
            context.Response.StatusCode = StatusCodes.Status504GatewayTimeout;
            return;
        }

        // gRPC tells its status beside HTTP's: an answer without a body carries it in its headers.
        context.Response.ContentType = "application/grpc";
        context.Response.Headers["grpc-status"] = GrpcDeadlineExceeded.ToString(CultureInfo.InvariantCulture);
        context.Response.Headers["grpc-message"] = "Deadline Exceeded";
    }
}
