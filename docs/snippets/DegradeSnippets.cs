using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.RateLimiting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Resilience.AspNetCore;
using Resilience.Context;
using Resilience.Degrade;

namespace Resilience.Snippets;

internal static class DegradeSnippets
{
    private static readonly Feature Mail = Feature.Declare("mail", Priority.Normal);

    public static void AddSignals(IServiceCollection services, IConfiguration configuration, Func<double> smtpInUse)
    {
        // snippet: degrade-signals
        services.AddDegradation(configuration.GetSection("Resilience:Degrade"))
            .AddSystemSignals()                       // memory, cpu, threadpool
            .AddSignal("pool:smtp", smtpInUse)        // a share from 0 to 1, read ten times a second
            .AddAdmission();
        // end-snippet
    }

    public static async Task OverrideAsync(IDegradation degrade, CancellationToken ct)
    {
        // snippet: degrade-override
        await degrade.OverrideAsync(Mail, FeatureState.Off, "INC-1234: relay is down", "ann@shop", TimeSpan.FromHours(2), ct);
        await degrade.LiftOverrideAsync(Mail, "INC-1234: relay is back", "ann@shop", ct);
        // end-snippet
    }

    public static void AddLimiter(IServiceCollection services)
    {
        // snippet: degrade-limiter
        var limiter = new AdaptiveConcurrencyLimiter(new Gradient2Limit(initial: 20, maximum: 200));
        services.AddRateLimiter(options => options.AddPolicy("reports", _ => RateLimitPartition.Get("all", _ => limiter)));
        // end-snippet
    }

    public static void AddThrottle(IServiceCollection services)
    {
        // snippet: degrade-throttle
        var throttle = new ClientThrottle(new ClientThrottleOptions { K = 2, MinimumRequests = 20 });
        services.AddHttpClient("payments").AddHttpMessageHandler(() => new ClientThrottleHandler(throttle));
        // end-snippet
    }
}

// snippet: degrade-attribute
[Route("ratings")]
public sealed class RatingsController : ControllerBase
{
    [HttpGet("{id:int}")]
    [RequestPriority(Priority.Low)]
    [DegradeWith("ratings", Fallback = typeof(NoRatings))]
    public string Get(int id) => $"rating {id}";
}

public sealed class NoRatings : IFallbackAnswer
{
    public ValueTask<IResult> AnswerAsync(HttpContext context, CancellationToken cancellationToken) => new(Results.Json("later"));
}
// end-snippet
