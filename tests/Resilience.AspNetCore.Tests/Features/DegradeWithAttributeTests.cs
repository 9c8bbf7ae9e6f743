using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Resilience.Context;
using Resilience.Degrade;

namespace Resilience.AspNetCore.Tests.Features;

/// <summary>The attribute on controllers, through the whole of MVC.</summary>
public sealed class DegradeWithAttributeTests
{
    private static readonly Feature Ratings = Feature.Declare("mvc-ratings", Priority.Low);

    [Fact]
    public async Task Action_Normal_AnswersItself()
    {
        await using WebApplication app = await StartAsync("On");
        Assert.Equal("rating 3", await Client(app).GetStringAsync(new Uri("/ratings/3", UriKind.Relative)));
    }

    [Fact]
    public async Task Action_Off_TheFallbackAnswersBeforeAnythingIsBound()
    {
        await using WebApplication app = await StartAsync("Off");
        using HttpResponseMessage response = await Client(app).GetAsync(new Uri("/ratings/no-number", UriKind.Relative));
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal("no ratings for now", await response.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task Action_OffWithoutFallback_Is503WithRetryAfter()
    {
        await using WebApplication app = await StartAsync("Off");
        using HttpResponseMessage response = await Client(app).GetAsync(new Uri("/ratings/plain", UriKind.Relative));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        Assert.InRange(response.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 5);
    }

    [Fact]
    public async Task Action_Fails_TheFallbackAnswers()
    {
        await using WebApplication app = await StartAsync("On");
        Assert.Equal("no ratings for now", await Client(app).GetStringAsync(new Uri("/ratings/-1", UriKind.Relative)));
    }

    [Fact]
    public async Task Action_FailsAndNoFallbackMayAnswer_TheFailureGoesOn()
    {
        await using WebApplication app = await StartAsync("On", KeyValuePair.Create<string, string?>("Resilience:Degrade:Features:mvc-ratings:FallbackOnError", "false"));
        using HttpResponseMessage response = await Client(app).GetAsync(new Uri("/ratings/-1", UriKind.Relative));
        Assert.Equal(HttpStatusCode.InternalServerError, response.StatusCode);
    }

    [Fact]
    public async Task Action_FallbackRunsOutOfTime_Is503WithoutItsHeaders()
    {
        await using WebApplication app = await StartAsync("Off", KeyValuePair.Create<string, string?>("Resilience:Degrade:Features:mvc-ratings:FallbackTimeout", "00:00:00.010"));
        using HttpResponseMessage response = await Client(app).GetAsync(new Uri("/ratings/late", UriKind.Relative));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        Assert.False(response.Headers.Contains("X-Half"));
        Assert.Equal(0, response.Content.Headers.ContentLength);
    }

    [Fact]
    public async Task Action_FallbackIgnoresItsToken_Is503AtOnceAndTheConnectionEndsWithIt()
    {
        await using WebApplication app = await StartAsync("Off", KeyValuePair.Create<string, string?>("Resilience:Degrade:Features:mvc-ratings:FallbackTimeout", "00:00:00.010"));
        using HttpResponseMessage response = await Client(app).GetAsync(new Uri("/ratings/stubborn", UriKind.Relative));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        Assert.True(response.Headers.ConnectionClose);
        StubbornRatings.Gate.SetResult();
    }

    [Fact]
    public async Task Action_FeatureNotDeclared_SaysSo()
    {
        var attribute = new DegradeWithAttribute("mvc-nobody");
        var context = new Microsoft.AspNetCore.Mvc.Filters.ResourceExecutingContext(
            new ActionContext(
                new DefaultHttpContext { RequestServices = new ServiceCollection().AddLogging().AddSingleton<IConfiguration>(new ConfigurationBuilder().Build()).AddDegradation().Services.BuildServiceProvider() },
                new Microsoft.AspNetCore.Routing.RouteData(),
                new Microsoft.AspNetCore.Mvc.Abstractions.ActionDescriptor()),
            [],
            []);
        var error = await Assert.ThrowsAsync<InvalidOperationException>(() => attribute.OnResourceExecutionAsync(context, () => throw new NotSupportedException()));
        Assert.Contains("mvc-nobody", error.Message, StringComparison.Ordinal);
    }

    private static async Task<WebApplication> StartAsync(string mode, params KeyValuePair<string, string?>[] settings)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Configuration.AddInMemoryCollection([new("Resilience:Degrade:Features:mvc-ratings:Mode", mode), .. settings]);
        builder.Services.AddDegradation().AddFeature(Ratings);
        builder.Services.AddControllers().AddApplicationPart(typeof(RatingsController).Assembly);
        WebApplication app = builder.Build();
        app.MapControllers();
        await app.StartAsync();
        return app;
    }

    private static HttpClient Client(WebApplication app) => new() { BaseAddress = new Uri(app.Urls.First()) };
}

/// <summary>What the tests ask.</summary>
[ApiController]
[Route("ratings")]
public sealed class RatingsController : ControllerBase
{
    /// <summary>A rating.</summary>
    [HttpGet("{id}")]
    [DegradeWith("mvc-ratings", Fallback = typeof(NoRatings))]
    public string Get(int id) => id >= 0 ? $"rating {id}" : throw new InvalidOperationException("broken");

    /// <summary>Without a fallback.</summary>
    [HttpGet("plain")]
    [DegradeWith("mvc-ratings")]
    public string Plain() => "plain";

    /// <summary>With a fallback that never ends by itself.</summary>
    [HttpGet("late")]
    [DegradeWith("mvc-ratings", Fallback = typeof(LateRatings))]
    public string Late() => "late";

    /// <summary>With a fallback that ignores its token.</summary>
    [HttpGet("stubborn")]
    [DegradeWith("mvc-ratings", Fallback = typeof(StubbornRatings))]
    public string Stubborn() => "stubborn";
}

/// <summary>The answer in their place.</summary>
public sealed class NoRatings : IFallbackAnswer
{
    /// <inheritdoc/>
    public ValueTask<IResult> AnswerAsync(HttpContext context, CancellationToken cancellationToken) => new(Results.Text("no ratings for now"));
}

/// <summary>Ends when the test says so.</summary>
public sealed class StubbornRatings : IFallbackAnswer
{
    internal static readonly TaskCompletionSource Gate = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <inheritdoc/>
    public async ValueTask<IResult> AnswerAsync(HttpContext context, CancellationToken cancellationToken)
    {
        await Gate.Task;
        return Results.Text("stubborn");
    }
}

/// <summary>Begins an answer and does not come to its end.</summary>
public sealed class LateRatings : IFallbackAnswer
{
    /// <inheritdoc/>
    public async ValueTask<IResult> AnswerAsync(HttpContext context, CancellationToken cancellationToken)
    {
        context.Response.Headers["X-Half"] = "done";
        context.Response.ContentLength = 100;
        await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken);
        return Results.Text("never");
    }
}
