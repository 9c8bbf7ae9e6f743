using Microsoft.AspNetCore.Http;

namespace Resilience.AspNetCore.Features;

/// <summary>Among the features of a request: its answer is a fallback's, which says nothing about what the service can do.</summary>
internal sealed class FallbackAnswered
{
    /// <summary>The fallback, which may outlast its time when it ignores its token.</summary>
    public Task Running { get; set; } = Task.CompletedTask;

    /// <summary>
    /// Keeps a request from ending before its fallback: the server gives the context to the next request of the connection, and that one would
    /// get what the fallback still writes. The caller has the answer at once all the same.
    /// </summary>
    public static async Task WaitAsync(HttpContext context)
    {
        if (context.Features.Get<FallbackAnswered>() is not { Running: { IsCompleted: false } running })
        {
            return;
        }

        if (context.Response.HasStarted)
        {
            context.Abort(); // Half of an answer that nobody finishes in time.
        }
        else if (!context.RequestAborted.IsCancellationRequested)
        {
            if (HttpProtocol.IsHttp11(context.Request.Protocol) || HttpProtocol.IsHttp10(context.Request.Protocol))
            {
                context.Response.Headers.Connection = "close"; // or the caller's next request would wait behind this one
            }

            await context.Response.CompleteAsync().ConfigureAwait(false);
        }

        await running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }
}
