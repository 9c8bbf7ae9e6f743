using Microsoft.AspNetCore.Diagnostics;
using Microsoft.AspNetCore.Http;
using Resilience.Context;

namespace Resilience.AspNetCore.Failures;

/// <summary>
/// Has an exception handler that stands inside of the request scopes answer as they would: <c>UseExceptionHandler()</c> catches everything
/// and would make it 500.
/// </summary>
internal sealed class FailureExceptionHandler(FailureAnswers answers) : IExceptionHandler
{
    public async ValueTask<bool> TryHandleAsync(HttpContext httpContext, Exception exception, CancellationToken cancellationToken)
    {
        RequestScope? scope = RequestScope.Current;
        if (answers.Find(httpContext, exception, scope) is not { } failure)
        {
            return false;
        }

        await answers.AnswerAsync(httpContext, failure, exception, scope).ConfigureAwait(false);
        return true;
    }
}
