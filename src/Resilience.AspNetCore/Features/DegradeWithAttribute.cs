using System.Diagnostics.CodeAnalysis;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc.Filters;
using Microsoft.Extensions.DependencyInjection;
using Resilience.AspNetCore.Features;
using Resilience.Degrade;

namespace Resilience.AspNetCore;

/// <summary>Answers for a controller, an action or a Razor page while its feature is off, or when it fails; see <see cref="DegradeWithAttribute"/>.</summary>
public interface IFallbackAnswer
{
    /// <summary>Makes the answer. It has the fallback's deadline and bulkhead.</summary>
    /// <param name="context">The request.</param>
    /// <param name="cancellationToken">Cancelled at the fallback's deadline, and when the caller goes.</param>
    ValueTask<IResult> AnswerAsync(HttpContext context, CancellationToken cancellationToken);
}

/// <summary>
/// Makes a controller, an action or a Razor page part of a feature: while the feature is off, and when the action fails before its response has started,
/// the fallback answers. It runs after authorization and before the body is read or anything bound. For other endpoints there is <c>DegradeWith()</c>.
/// </summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Method)]
public sealed class DegradeWithAttribute : Attribute, IAsyncResourceFilter
{
    private Feature? _feature;

    /// <summary>Names the feature.</summary>
    /// <param name="feature">Its name; it must have been declared when the first request comes.</param>
    public DegradeWithAttribute(string feature)
    {
        ArgumentException.ThrowIfNullOrEmpty(feature);
        FeatureName = feature;
    }

    /// <summary>The name of the feature.</summary>
    public string FeatureName { get; }

    /// <summary>
    /// An <see cref="IFallbackAnswer"/>, made anew for each answer with the services of the request; <c>503</c> with <c>Retry-After</c> when
    /// <see langword="null"/>, the default.
    /// </summary>
    [DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)]
    public Type? Fallback { get; set; }

    /// <inheritdoc/>
    /// <exception cref="InvalidOperationException">Nothing has declared the feature, or the fallback is no <see cref="IFallbackAnswer"/>.</exception>
    public async Task OnResourceExecutionAsync(ResourceExecutingContext context, ResourceExecutionDelegate next)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(next);
        HttpContext http = context.HttpContext;
        IDegradation degradation = http.RequestServices.GetRequiredService<IDegradation>();
        try
        {
            await degradation.RunAsync(
                Find(),
                static (state, _) => WorkAsync(state.Next),
                static (state, ct) => state.Self.FallBackAsync(state.Context, ct),
                (Self: this, Context: context, Next: next),
                static (exception, state) => DegradableEndpoint.Handles(exception, state.Context.HttpContext),
                http.RequestAborted).ConfigureAwait(false);
        }
        catch (FeatureUnavailableException) when (!http.Response.HasStarted)
        {
            DegradableEndpoint.RefuseAfterwards(http);
            context.Result = new Answered();
        }
        finally
        {
            await FallbackAnswered.WaitAsync(http).ConfigureAwait(false);
        }
    }

    private static async ValueTask<bool> WorkAsync(ResourceExecutionDelegate next)
    {
        // MVC keeps what an action throws; taken out here, it is the fallback that answers for it. Where none may, it goes on as it would have.
        ResourceExecutedContext executed = await next().ConfigureAwait(false);
        if (executed is { Exception: { } failure, ExceptionHandled: false })
        {
            executed.ExceptionHandled = true;
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
        }

        return true;
    }

    private async ValueTask<bool> FallBackAsync(ResourceExecutingContext context, CancellationToken cancellationToken)
    {
        HttpContext http = context.HttpContext;
        var answered = new FallbackAnswered();
        http.Features.Set(answered);
        if (Fallback is null)
        {
            DegradableEndpoint.Refuse(http);
        }
        else
        {
            var fallback = ActivatorUtilities.CreateInstance(http.RequestServices, Fallback) as IFallbackAnswer
                ?? throw new InvalidOperationException($"[DegradeWith(\"{FeatureName}\")]: {Fallback} does not implement {nameof(IFallbackAnswer)}.");
            await (answered.Running = AnswerAsync(fallback, http, cancellationToken)).ConfigureAwait(false);
        }

        context.Result = new Answered();
        return false;
    }

    private static async Task AnswerAsync(IFallbackAnswer fallback, HttpContext context, CancellationToken cancellationToken)
    {
        IResult answer = await fallback.AnswerAsync(context, cancellationToken).ConfigureAwait(false);
        await answer.ExecuteAsync(context).ConfigureAwait(false);
    }

    private Feature Find() => _feature ??= Feature.TryGet(FeatureName, out Feature? feature)
        ? feature
        : throw new InvalidOperationException($"[DegradeWith(\"{FeatureName}\")] names a feature that nothing has declared. Declare it in a static field and touch it with AddFeature(...).");

    /// <summary>Keeps MVC from going on; the answer is written already.</summary>
    private sealed class Answered : Microsoft.AspNetCore.Mvc.IActionResult
    {
        public Task ExecuteResultAsync(Microsoft.AspNetCore.Mvc.ActionContext context) => Task.CompletedTask;
    }
}
