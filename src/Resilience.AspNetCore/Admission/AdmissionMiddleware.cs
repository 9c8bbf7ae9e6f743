using System.Globalization;
using Microsoft.AspNetCore.Http;
using Resilience.AspNetCore.Features;
using Resilience.AspNetCore.Scopes;
using Resilience.Context;
using Resilience.Degrade;
using Resilience.Settings;

namespace Resilience.AspNetCore.Admission;

/// <summary>
/// Refuses what cannot be served, before anything dear has been done for it: no service is resolved, no body read, no thread left, nothing allocated
/// and nothing logged.
/// </summary>
internal sealed class AdmissionMiddleware : IDisposable
{
    private static readonly string[] Seconds = [.. Enumerable.Range(0, 601).Select(seconds => seconds.ToString(CultureInfo.InvariantCulture))];

    private readonly RequestDelegate _next;
    private readonly AdmissionController _admission;
    private readonly IDisposable _subscription;
    private volatile Rules _rules;

    public AdmissionMiddleware(RequestDelegate next, AdmissionController admission, LiveSettings<DegradeSettings> settings)
    {
        _next = next;
        _admission = admission;
        _rules = new Rules(settings.Current.Admission);
        _subscription = settings.OnChange(changed => _rules = new Rules(changed.Admission));
    }

    public Task InvokeAsync(HttpContext context)
    {
        Rules rules = _rules;
        Endpoint? endpoint = context.GetEndpoint();
        if (rules.Bypasses(context.Request.Path) || endpoint?.Metadata.GetMetadata<BypassAdmissionAttribute>() is not null)
        {
            return _next(context);
        }

        Priority priority = rules.PriorityOf(context, endpoint?.Metadata.GetMetadata<IPriorityMetadata>());
        if (_admission.TryEnter(priority, out AdmissionTicket ticket) != AdmissionResult.Admitted)
        {
            context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
            context.Response.ContentLength = 0;
            context.Response.Headers.RetryAfter = Seconds[Random.Shared.Next(1, 2 * rules.RetryAfter)];
            return Task.CompletedTask;
        }

        Task inside;
        try
        {
            inside = _next(context);
        }
        catch
        {
            _admission.Leave(ticket, AdmissionOutcome.Ignore);
            throw;
        }

        if (inside.IsCompletedSuccessfully)
        {
            Leave(context, ticket);
            return Task.CompletedTask;
        }

        return AwaitAsync(inside, context, ticket);
    }

    public void Dispose() => _subscription.Dispose();

    private async Task AwaitAsync(Task inside, HttpContext context, AdmissionTicket ticket)
    {
        bool done = false;
        try
        {
            await inside.ConfigureAwait(false);
            done = true;
        }
        finally
        {
            if (done)
            {
                Leave(context, ticket);
            }
            else
            {
                _admission.Leave(ticket, AdmissionOutcome.Ignore);
            }
        }
    }

    private void Leave(HttpContext context, in AdmissionTicket ticket) =>
        _admission.Leave(ticket, IsWorkDone(context) ? AdmissionOutcome.Success : AdmissionOutcome.Ignore);

    /// <summary>
    /// Whether the controller may learn from a request. Failures are quick or slow for reasons of their own, a caller that has gone has not been served, and
    /// what is turned away or answered by a fallback is so quick that the shortest response time would be that of no work at all.
    /// </summary>
    private static bool IsWorkDone(HttpContext context)
    {
        int status = context.Response.StatusCode;
        bool isTurnedAway = status is StatusCodes.Status401Unauthorized or StatusCodes.Status403Forbidden or StatusCodes.Status429TooManyRequests
            || (status == StatusCodes.Status404NotFound && context.GetEndpoint() is null);
        return status < 500 && !isTurnedAway && !context.RequestAborted.IsCancellationRequested && context.Features.Get<FallbackAnswered>() is null;
    }

    /// <summary>The settings made ready. Immutable.</summary>
    private sealed class Rules(AdmissionSettings settings)
    {
        private readonly PathString[] _bypass = Paths(settings.Bypass);
        private readonly TrustedPeers _trusted = new(settings.TrustedPeers);
        private readonly string? _header = string.IsNullOrEmpty(settings.PriorityHeader) ? null : settings.PriorityHeader;

        public int RetryAfter { get; } = (int)settings.RetryAfter.TotalSeconds;

        private static PathString[] Paths(IList<string> texts)
        {
            var paths = new PathString[texts.Count];
            for (int i = 0; i < paths.Length; i++)
            {
                paths[i] = new PathString(texts[i].Length > 1 ? texts[i].TrimEnd('/') : texts[i]);
            }

            return paths;
        }

        public bool Bypasses(PathString path)
        {
            foreach (PathString bypass in _bypass)
            {
                if (path.StartsWithSegments(bypass, StringComparison.OrdinalIgnoreCase))
                {
                    return true;
                }
            }

            return false;
        }

        /// <summary>
        /// What the endpoint says; a trusted caller may say that its request matters less, and where the endpoint says nothing also that it matters more. An
        /// untrusted caller is not heard: it would promote itself.
        /// </summary>
        public Priority PriorityOf(HttpContext context, IPriorityMetadata? endpoint)
        {
            Priority declared = endpoint?.Priority ?? Priority.Normal;
            if (_header is null || !context.Request.Headers.TryGetValue(_header, out Microsoft.Extensions.Primitives.StringValues values)
                || values.Count != 1 || !TryParse(values[0], out Priority asked) || !_trusted.Contains(context.Connection.RemoteIpAddress))
            {
                return declared;
            }

            return endpoint is null || asked > declared ? asked : declared;
        }

        private static bool TryParse(string? text, out Priority priority)
        {
            foreach (Priority candidate in Candidates)
            {
                if (string.Equals(text, Names[(int)candidate], StringComparison.OrdinalIgnoreCase))
                {
                    priority = candidate;
                    return true;
                }
            }

            priority = default;
            return false;
        }

        private static readonly string[] Names = [nameof(Priority.Critical), nameof(Priority.Normal), nameof(Priority.Low), nameof(Priority.Bulk)];

        private static ReadOnlySpan<Priority> Candidates => [Priority.Critical, Priority.Normal, Priority.Low, Priority.Bulk];
    }
}
