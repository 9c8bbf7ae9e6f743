using System.Globalization;
using System.Numerics;
using System.Security.Claims;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Resilience.Degrade;
using Resilience.Settings;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>Overrides features on behalf of a user, once it is sure that the user means it. Log and audit trail are degradation's own.</summary>
internal sealed class DashboardChanges(
    DashboardHub hub,
    ChangeTokens tokens,
    LiveSettings<DashboardSettings> settings,
    ILogger<DashboardChanges> logger,
    IDegradation? degradation = null)
{
    public const string TokenHeader = "X-Resilience-Token";
    public const string SessionCookie = "resilience-dashboard";
    public const int MinReason = 3;
    public const int MaxReason = 200;

    private const int MaxUser = 100;
    private long _refusals;

    /// <summary>A token for the changes of this user in this browser.</summary>
    public Task TokenAsync(HttpContext context)
    {
        DashboardHeaders.Write(context);
        if (DashboardProtectionOf.Refuses(context))
        {
            return Task.CompletedTask;
        }

        if (!DashboardHeaders.IsSameOrigin(context.Request))
        {
            return DashboardBody.RefuseAsync(context, StatusCodes.Status403Forbidden, new RefusalMessage("The request comes from another site."));
        }

        if (degradation is null)
        {
            return DashboardBody.RefuseAsync(context, StatusCodes.Status404NotFound, new RefusalMessage("Degradation is not registered: there is nothing to switch."));
        }

        string? session = context.Request.Cookies[SessionCookie];
        if (!ChangeTokens.IsSession(session))
        {
            session = ChangeTokens.NewSession();
            string path = $"{context.Request.PathBase.ToUriComponent()}{context.Request.Path.ToUriComponent()}";
            context.Response.Cookies.Append(SessionCookie, session, new CookieOptions
            {
                HttpOnly = true,
                IsEssential = true,
                Path = path[..path.LastIndexOf('/')],
                SameSite = SameSiteMode.Strict,
                Secure = context.Request.IsHttps,
            });
        }

        return DashboardBody.WriteAsync(context, new TokenMessage(tokens.Issue(session!, Identity(context.User)), NameOf(context.User), MaxMinutes()), DashboardJson.Default.TokenMessage);
    }

    public Task OverrideAsync(HttpContext context) => ChangeAsync(context, DashboardJson.Default.OverrideRequest, OverrideAsync);

    public Task RestoreAsync(HttpContext context) => ChangeAsync(context, DashboardJson.Default.RestoreRequest, RestoreAsync);

    private async ValueTask<RefusalMessage?> OverrideAsync(OverrideRequest request, Feature feature, string who, CancellationToken cancellationToken)
    {
        int maximum = MaxMinutes();
        if (request.State is not { } state || !Enum.IsDefined(state))
        {
            return new("state must be 'Normal', 'Degraded' or 'Off'.", "state");
        }

        if (request.Minutes is not { } minutes || minutes < 1 || minutes > maximum)
        {
            return new(string.Create(CultureInfo.InvariantCulture, $"minutes must be from 1 to {maximum}."), "minutes");
        }

        if (ReasonProblem(request.Reason, out string reason) is { } problem)
        {
            return problem;
        }

        await degradation!.OverrideAsync(feature, state, reason, who, TimeSpan.FromMinutes(minutes), cancellationToken).ConfigureAwait(false);
        return null;
    }

    private async ValueTask<RefusalMessage?> RestoreAsync(RestoreRequest request, Feature feature, string who, CancellationToken cancellationToken)
    {
        if (ReasonProblem(request.Reason, out string reason) is { } problem)
        {
            return problem;
        }

        await degradation!.LiftOverrideAsync(feature, reason, who, cancellationToken).ConfigureAwait(false);
        return null;
    }

    private int MaxMinutes() => (int)settings.Current.MaxOverride.TotalMinutes;

    private async Task ChangeAsync<TRequest>(HttpContext context, JsonTypeInfo<TRequest> type, Func<TRequest, Feature, string, CancellationToken, ValueTask<RefusalMessage?>> apply)
        where TRequest : class
    {
        DashboardHeaders.Write(context);
        if (DashboardProtectionOf.Refuses(context))
        {
            return;
        }

        if (Distrust(context) is { } distrust)
        {
            Log(distrust.Message.Problem);
            await DashboardBody.RefuseAsync(context, distrust.Status, distrust.Message).ConfigureAwait(false);
        }
        else if (await DashboardBody.ReadAsync(context, type).ConfigureAwait(false) is not { } request)
        {
            await DashboardBody.RefuseAsync(context, StatusCodes.Status400BadRequest, new("The body is no valid request of at most 4 KiB.")).ConfigureAwait(false);
        }
        else if (context.Request.RouteValues["name"] is not string name || !Feature.TryGet(name, out Feature? feature))
        {
            await DashboardBody.RefuseAsync(context, StatusCodes.Status404NotFound, new("No feature has this name.")).ConfigureAwait(false);
        }
        else
        {
            await AnswerAsync(context, () => apply(request, feature, NameOf(context.User), context.RequestAborted)).ConfigureAwait(false);
        }
    }

    private async Task AnswerAsync(HttpContext context, Func<ValueTask<RefusalMessage?>> apply)
    {
        try
        {
            if (await apply().ConfigureAwait(false) is { } problem)
            {
                await DashboardBody.RefuseAsync(context, StatusCodes.Status400BadRequest, problem).ConfigureAwait(false);
                return;
            }
        }
        catch (Exception exception) when (!(exception is OperationCanceledException && context.RequestAborted.IsCancellationRequested))
        {
            // What makes a feature do more must be written down and shared first; the operator has to know that it was not.
            DashboardLog.ChangeFailed(logger, exception);
            await DashboardBody.RefuseAsync(context, StatusCodes.Status503ServiceUnavailable, new($"Nothing changed: it could not be written down ({exception.GetType().Name}). The log has the reason.")).ConfigureAwait(false);
            return;
        }

        await hub.SampleChangeAsync().ConfigureAwait(false); // all who watch see it at once
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private (int Status, RefusalMessage Message)? Distrust(HttpContext context)
    {
        HttpRequest request = context.Request;
        return degradation is null ? (StatusCodes.Status404NotFound, new("Degradation is not registered: there is nothing to switch."))
            : !DashboardHeaders.IsSameOrigin(request) ? (StatusCodes.Status403Forbidden, new("The request comes from another site."))
            : !request.HasJsonContentType() ? (StatusCodes.Status415UnsupportedMediaType, new("The body must be application/json."))
            : !tokens.IsValid(request.Headers[TokenHeader], request.Cookies[SessionCookie], Identity(context.User)) ? (StatusCodes.Status400BadRequest, new("The token is missing, too old or somebody else's: fetch a new one.", "token"))
            : null;
    }

    /// <summary>A reason is one line of some words: it stands in logs and on the page.</summary>
    private static RefusalMessage? ReasonProblem(string? given, out string reason)
    {
        reason = given?.Trim() ?? "";
        return reason.Length is < MinReason or > MaxReason || reason.Any(IsControl)
            ? new(string.Create(CultureInfo.InvariantCulture, $"reason must be one line of {MinReason} to {MaxReason} characters."), "reason")
            : null;
    }

    /// <summary>Line and paragraph separators too, which some who show a log take for an end of the line.</summary>
    private static bool IsControl(char character) => char.IsControl(character) || character is '\u2028' or '\u2029';

    /// <summary>Who it is, for logs and the audit trail.</summary>
    private static string NameOf(ClaimsPrincipal user)
    {
        string name = user.Identity?.Name ?? user.FindFirstValue(ClaimTypes.NameIdentifier) ?? user.FindFirstValue("sub") ?? "(no name)";
        return string.Concat(name.Where(static character => !IsControl(character)).Take(MaxUser));
    }

    /// <summary>Who it is, for the binding of tokens: a name alone may be the same under two schemes.</summary>
    private static string Identity(ClaimsPrincipal user) =>
        $"{user.Identity?.AuthenticationType}\n{user.FindFirstValue(ClaimTypes.NameIdentifier) ?? user.FindFirstValue("sub")}\n{user.Identity?.Name}";

    /// <summary>Somebody who knocks all day does not fill the log: the first ten times, then each time the count has doubled.</summary>
    private void Log(string problem)
    {
        long count = Interlocked.Increment(ref _refusals);
        if (count <= 10 || BitOperations.IsPow2(count))
        {
            DashboardLog.Refused(logger, count, problem);
        }
    }
}
