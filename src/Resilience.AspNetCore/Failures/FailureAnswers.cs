using System.Globalization;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Resilience.AspNetCore.Scopes;
using Resilience.Context;
using Resilience.Settings;

namespace Resilience.AspNetCore.Failures;

/// <summary>
/// Tells callers of a failure what it means to them: 503 and when to come back, or 504 when the time was up; with a problem as the body where
/// the application has <c>AddProblemDetails()</c>. What the exception says is for the log alone. Thread-safe.
/// </summary>
internal sealed class FailureAnswers(
    LiveSettings<FailureSettings> settings,
    ScopeMonitor monitor,
    IEnumerable<FailureRule> rules,
    TimeProvider time,
    ILogger<FailureAnswers> logger,
    IProblemDetailsService? problems = null)
{
    private const int GrpcDeadlineExceeded = 4;
    private const int GrpcUnavailable = 14;

    private readonly Func<Exception, bool>[] _rules = [.. rules.Select(rule => rule.IsUnavailable)];
    private readonly FailureEpisodes _episodes = new(time);

    /// <summary>What to answer for an exception; nothing when it is not for the kit to answer, or an answer has begun.</summary>
    public Failure? Find(HttpContext context, Exception exception, RequestScope? scope)
    {
        if (context.Response.HasStarted)
        {
            return null;
        }

        bool isLate = scope?.Cause == ScopeCause.Deadline;
        Failure? failure = exception is OperationCanceledException && isLate ? Failure.Deadline : Failure.Of(exception);
        if (failure == Failure.Deadline)
        {
            return failure;
        }

        if (!settings.Current.Answer)
        {
            return null;
        }

        if (failure is null && Array.Exists(_rules, isUnavailable => isUnavailable(exception)))
        {
            failure = Failure.Unavailable(exception.GetType().Name);
        }

        // Nobody waits any more for what was not there in time: that is what the caller has to know.
        return failure is not null && isLate ? Failure.Deadline : failure;
    }

    /// <summary>Answers for an exception, counts it, and logs it unless that was done lately.</summary>
    public Task AnswerAsync(HttpContext context, Failure failure, Exception exception, RequestScope? scope)
    {
        if (failure.Status == StatusCodes.Status504GatewayTimeout)
        {
            monitor.NoteDeadlineExceeded("handler", scope?.IsDeadlineCallerChosen ?? false);
        }
        else if (!failure.IsMeant && _episodes.Count(failure.Subject) is > 0 and var count)
        {
            FailureLog.Unavailable(logger, failure.Subject, count, exception);
        }

        return WriteAsync(context, failure, exception);
    }

    /// <summary>Answers a request whose time was spent when it came.</summary>
    public Task AnswerSpentAsync(HttpContext context)
    {
        monitor.NoteDeadlineExceeded("inbound", isCallerChosen: true);
        return WriteAsync(context, Failure.Deadline, null);
    }

    private Task WriteAsync(HttpContext context, Failure failure, Exception? exception)
    {
        bool isDeadline = failure.Status == StatusCodes.Status504GatewayTimeout;
        HttpResponse response = context.Response;
        response.Clear();
        if (InboundScope.IsGrpc(context.Request))
        {
            // gRPC tells its status beside HTTP's: an answer without a body carries it in its headers.
            response.ContentType = "application/grpc";
            response.Headers["grpc-status"] = (isDeadline ? GrpcDeadlineExceeded : GrpcUnavailable).ToString(CultureInfo.InvariantCulture);
            response.Headers["grpc-message"] = isDeadline ? "Deadline Exceeded" : "Unavailable";
            return Task.CompletedTask;
        }

        response.StatusCode = failure.Status;
        if (!isDeadline)
        {
            response.Headers.RetryAfter = Seconds(failure.RetryAfter).ToString(CultureInfo.InvariantCulture);
        }

        return problems is null || HttpMethods.IsHead(context.Request.Method) ? Task.CompletedTask
            : problems.TryWriteAsync(new ProblemDetailsContext
            {
                HttpContext = context,
                Exception = exception,
                ProblemDetails =
                {
                    Status = failure.Status,
                    Detail = isDeadline ? "The request could not be answered within its time." : "Something that this request needs is not available at the moment.",
                },
            }).AsTask();
    }

    /// <summary>A time around a default, in seconds: callers do not all come back at once.</summary>
    public static int Draw(TimeSpan around) => Random.Shared.Next(1, (int)(2 * around.TotalSeconds) + 1);

    /// <summary>Never earlier than what is known, and up to half as long again; a time around the default where nothing is known.</summary>
    private int Seconds(TimeSpan? known)
    {
        if (known is not { } after)
        {
            return Draw(settings.Current.RetryAfter);
        }

        double least = Math.Clamp(Math.Ceiling(after.TotalSeconds), 1, TimeSpan.FromHours(1).TotalSeconds);
        return (int)least + Random.Shared.Next(0, ((int)least / 2) + 1);
    }
}
