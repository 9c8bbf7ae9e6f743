using System.Globalization;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Resilience.AspNetCore.Failures;
using Resilience.AspNetCore.Features;
using Resilience.Degrade;
using Resilience.Settings;

namespace Resilience.AspNetCore;

/// <summary>One endpoint run as a feature.</summary>
internal sealed class DegradableEndpoint(Feature feature, RequestDelegate next, Func<HttpContext, CancellationToken, Task>? fallback)
{
    private IDegradation? _degradation;

    public Task InvokeAsync(HttpContext context)
    {
        // An endpoint belongs to one application, so its container's singleton may be kept.
        IDegradation degradation = _degradation ??= context.RequestServices.GetRequiredService<IDegradation>();
        ValueTask<bool> run = degradation.RunAsync(
            feature,
            static async (state, _) =>
            {
                await state.Endpoint.Next(state.Context).ConfigureAwait(false);
                return true;
            },
            static async (state, ct) =>
            {
                await state.Endpoint.FallBackAsync(state.Context, ct).ConfigureAwait(false);
                return false;
            },
            (Endpoint: this, Context: context),
            static (exception, state) => Handles(exception, state.Context),
            context.RequestAborted);
        return run.IsCompletedSuccessfully ? Task.CompletedTask : AwaitAsync(run, context);
    }

    private static async Task AwaitAsync(ValueTask<bool> run, HttpContext context)
    {
        try
        {
            await run.ConfigureAwait(false);
        }
        catch (FeatureUnavailableException) when (!context.Response.HasStarted)
        {
            RefuseAfterwards(context);
        }
        finally
        {
            await FallbackAnswered.WaitAsync(context).ConfigureAwait(false);
        }
    }

    private Task Next(HttpContext context) => next(context);

    private Task FallBackAsync(HttpContext context, CancellationToken cancellationToken)
    {
        var answered = new FallbackAnswered();
        context.Features.Set(answered);
        if (fallback is null)
        {
            Refuse(context);
            return Task.CompletedTask;
        }

        return answered.Running = fallback(context, cancellationToken);
    }

    /// <summary>A response that has started cannot be answered anew, and a bad request is no failure of the feature.</summary>
    internal static bool Handles(Exception exception, HttpContext context)
    {
        if (context.Response.HasStarted || exception is BadHttpRequestException)
        {
            return false;
        }

        // What the endpoint had set before it failed does not belong to the fallback's answer. When the feature is off nothing is cleared:
        // then all headers come from the middleware in front.
        context.Response.Clear();
        return true;
    }

    /// <summary>Refuses what nothing has answered. What a fallback had set before it ran out of time, such as a length, does not belong to the refusal.</summary>
    internal static void RefuseAfterwards(HttpContext context)
    {
        if (context.Features.Get<FallbackAnswered>() is not null)
        {
            context.Response.Clear();
        }

        Refuse(context);
    }

    internal static void Refuse(HttpContext context)
    {
        context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
        TimeSpan retryAfter = context.RequestServices.GetKeyedService<LiveSettings<FailureSettings>>("")?.Current.RetryAfter ?? FailureSettings.DefaultRetryAfter;
        context.Response.Headers.RetryAfter = FailureAnswers.Draw(retryAfter).ToString(CultureInfo.InvariantCulture);
    }
}

/// <summary>Says which feature an endpoint is part of.</summary>
/// <param name="Feature">The feature.</param>
internal sealed record FeatureMetadata(Feature Feature);
