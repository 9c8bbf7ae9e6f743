using System.Net;
using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.RateLimiting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Resilience.Degrade;
using Resilience.TestKit;

namespace Resilience.AspNetCore.Tests.Admission;

/// <summary>The limiters are real ones: ASP.NET Core's own middleware takes them.</summary>
public sealed class RateLimitingMiddlewareTests
{
    [Fact]
    public async Task AdaptiveConcurrencyLimiter_BehindThePlatformsMiddleware_BoundsWhatIsUnderWay()
    {
        var limiter = new AdaptiveConcurrencyLimiter(new AimdLimit(initial: 2, maximum: 2));
        var inside = new SemaphoreSlim(0);
        var go = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Services.AddRateLimiter(options => options.AddPolicy("adaptive", _ => RateLimitPartition.Get("all", _ => limiter)));
        await using WebApplication app = builder.Build();
        app.UseRateLimiter();
        app.MapGet("/", async () =>
        {
            inside.Release();
            await go.Task;
            return "done";
        }).RequireRateLimiting("adaptive");
        await app.StartAsync();
        using var client = new HttpClient { BaseAddress = new Uri(app.Urls.First()) };
        Task<HttpResponseMessage>[] admitted = [client.GetAsync(new Uri("/", UriKind.Relative)), client.GetAsync(new Uri("/", UriKind.Relative))];
        Assert.True(await inside.WaitAsync(TimeSpan.FromSeconds(30)) && await inside.WaitAsync(TimeSpan.FromSeconds(30)));
        using HttpResponseMessage refused = await client.GetAsync(new Uri("/", UriKind.Relative));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode); // what the platform answers by default
        go.SetResult();
        foreach (HttpResponseMessage response in await Task.WhenAll(admitted))
        {
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            response.Dispose();
        }

        // The lease is given back when the response has been sent, which its reader may see a moment before.
        await Eventually.TrueAsync(() => limiter.Inflight == 0, "the leases are given back");
        Assert.Equal(2, limiter.GetStatistics()!.TotalSuccessfulLeases);
    }
}
