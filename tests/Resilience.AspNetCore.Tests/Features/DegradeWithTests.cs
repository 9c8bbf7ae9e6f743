using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Resilience.Context;
using Resilience.Degrade;
using Resilience.Settings;
using Resilience.TestKit;

namespace Resilience.AspNetCore.Tests.Features;

public sealed class DegradeWithTests
{
    private static readonly Feature Comments = Feature.Declare("web-comments", Priority.Low);

    [Fact]
    public async Task Request_FeatureSwitchedInTheFile_AnswersWithTheFallbackWithinASecond()
    {
        string folder = Directory.CreateTempSubdirectory("degrade").FullName;
        string file = Path.Combine(folder, "appsettings.json");
        await File.WriteAllTextAsync(file, Json("On"));
        await using WebApplication app = await StartAsync(builder => builder.Configuration.AddJsonFile(file, optional: false, reloadOnChange: true));
        using HttpClient client = Client(app);
        Assert.Equal("comments", await client.GetStringAsync(new Uri("/comments", UriKind.Relative)));

        TimeSpan off = await SwitchAsync(app, file, "Off", FeatureState.Off);
        using HttpResponseMessage refused = await client.GetAsync(new Uri("/comments", UriKind.Relative));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.Equal("later", await refused.Content.ReadFromJsonAsync<string>());
        TimeSpan on = await SwitchAsync(app, file, "On", FeatureState.Normal);
        Assert.Equal("comments", await client.GetStringAsync(new Uri("/comments", UriKind.Relative)));
        TestContext.Current.TestOutputHelper?.WriteLine($"off after {off.TotalMilliseconds:0} ms, on after {on.TotalMilliseconds:0} ms");
        Directory.Delete(folder, recursive: true);
    }

    /// <summary>A flag file with a typing mistake switches nothing: neither what is off on, nor the site off.</summary>
    [Fact]
    public async Task Request_FileIsBroken_TheLastGoodHoldsUntilItIsMended()
    {
        string folder = Directory.CreateTempSubdirectory("degrade").FullName;
        string file = Path.Combine(folder, "appsettings.json");
        await File.WriteAllTextAsync(file, Json("Off"));
        var other = new OtherSource();
        await using WebApplication app = await StartAsync(builder =>
        {
            builder.Configuration.AddJsonFile(file, optional: false, reloadOnChange: true);
            ((IConfigurationBuilder)builder.Configuration).Add(other);
        });
        using HttpClient client = Client(app);
        await File.WriteAllTextAsync(file, Json("Off")[..^3]);
        await Eventually.TrueAsync(() => app.Configuration["Resilience:Degrade:Features:web-comments"] is null, "the platform forgets all that the file said");
        other.Reload();
        var settings = app.Services.GetRequiredKeyedService<LiveSettings<DegradeSettings>>("");
        await Eventually.TrueAsync(() => settings.Rejected.Count > 0, "the reload is refused");
        Assert.Contains("vanished", Assert.Single(settings.Rejected).ToString(), StringComparison.Ordinal);
        using HttpResponseMessage refused = await client.GetAsync(new Uri("/comments", UriKind.Relative));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        await SwitchAsync(app, file, "On", FeatureState.Normal);
        Assert.Equal("comments", await client.GetStringAsync(new Uri("/comments", UriKind.Relative)));
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task Request_EndpointFails_TheFallbackAnswersWithoutItsHeaders()
    {
        await using WebApplication app = await StartAsync();
        using HttpClient client = Client(app);
        using HttpResponseMessage response = await client.GetAsync(new Uri("/broken", UriKind.Relative));
        Assert.Equal("instead", await response.Content.ReadAsStringAsync());
        Assert.False(response.Headers.Contains("X-Half"));
    }

    [Fact]
    public async Task Request_OffWithoutFallback_Is503WithRetryAfter()
    {
        await using WebApplication app = await StartAsync(builder => builder.Configuration.AddInMemoryCollection([new("Resilience:Degrade:Features:web-comments", "Off")]));
        using HttpClient client = Client(app);
        using HttpResponseMessage response = await client.GetAsync(new Uri("/plain", UriKind.Relative));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        Assert.InRange(response.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 5);
        Assert.Equal("outer", response.Headers.GetValues("X-Outer").Single());
    }

    [Fact]
    public async Task Request_FallbackRunsOutOfTime_Is503WithoutItsHeaders()
    {
        var clock = new ManualTimeProvider();
        await using WebApplication app = await StartAsync(builder =>
        {
            builder.Services.AddSingleton<TimeProvider>(clock);
            builder.Configuration.AddInMemoryCollection([new("Resilience:Degrade:Features:web-comments", "Off")]);
        });
        using HttpClient client = Client(app);

        Task<HttpResponseMessage> asking = client.GetAsync(new Uri("/late", UriKind.Relative));
        await clock.AdvanceUntilAsync(TimeSpan.FromSeconds(1), () => asking.IsCompleted, "the refusal");

        using HttpResponseMessage response = await asking; // a length without a body would have broken the connection
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        Assert.InRange(response.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 5);
        Assert.False(response.Headers.Contains("X-Half"));
        Assert.Equal(0, response.Content.Headers.ContentLength);
    }

    /// <summary>The server gives the context of a request that has ended to the next one of its connection.</summary>
    [Fact]
    public async Task Request_FallbackIgnoresItsToken_IsAnsweredInTimeAndNothingReachesTheNextRequest()
    {
        var clock = new ManualTimeProvider();
        TaskCompletionSource gate = Signal(), ghost = Signal(), arrived = Signal(), go = Signal();
        await using WebApplication app = await StartAsync(
            builder =>
            {
                builder.Services.AddSingleton<TimeProvider>(clock);
                builder.Configuration.AddInMemoryCollection([new("Resilience:Degrade:Features:web-comments", "Off")]);
            },
            app =>
            {
                app.MapGet("/stubborn", () => "never").DegradeWith(Comments, async (context, _) =>
                {
                    await gate.Task;
                    try
                    {
                        context.Response.Headers["X-Ghost"] = "of the first request";
                    }
                    finally
                    {
                        ghost.SetResult();
                    }

                    return Results.Empty;
                });
                app.MapGet("/next", async context =>
                {
                    arrived.SetResult();
                    await go.Task;
                    await context.Response.WriteAsync("next");
                });
            });
        using HttpClient client = Client(app);

        Task<HttpResponseMessage> asking = client.GetAsync(new Uri("/stubborn", UriKind.Relative));
        await clock.AdvanceUntilAsync(TimeSpan.FromSeconds(1), () => asking.IsCompleted, "the refusal");
        using HttpResponseMessage refused = await asking;
        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.Equal("", await refused.Content.ReadAsStringAsync());

        Task<HttpResponseMessage> next = client.GetAsync(new Uri("/next", UriKind.Relative));
        await arrived.Task.WaitAsync(TimeSpan.FromSeconds(30));
        gate.SetResult();
        await ghost.Task.WaitAsync(TimeSpan.FromSeconds(30));
        go.SetResult();
        using HttpResponseMessage response = await next;
        Assert.False(response.Headers.Contains("X-Ghost"));
        Assert.Equal("next", await response.Content.ReadAsStringAsync());

        static TaskCompletionSource Signal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    [Fact]
    public async Task Request_OffWithoutFallback_RetryAfterIsThatOfTheSettings()
    {
        await using WebApplication app = await StartAsync(builder =>
        {
            builder.Services.AddRequestScopes();
            builder.Configuration.AddInMemoryCollection([new("Resilience:Degrade:Features:web-comments", "Off"), new("Resilience:Failures:RetryAfter", "00:10:00")]);
        });
        using HttpClient client = Client(app);
        var longest = TimeSpan.Zero;
        for (int i = 0; i < 50; i++)
        {
            using HttpResponseMessage response = await client.GetAsync(new Uri("/plain", UriKind.Relative));
            longest = TimeSpan.FromTicks(Math.Max(longest.Ticks, response.Headers.RetryAfter!.Delta!.Value.Ticks));
        }

        Assert.InRange(longest, TimeSpan.FromSeconds(60), TimeSpan.FromMinutes(20)); // of 1 s to 1,200 s, fifty times
    }

    [Fact]
    public async Task Request_BadRequest_IsNotAnsweredByTheFallback()
    {
        await using WebApplication app = await StartAsync();
        using HttpClient client = Client(app);
        using HttpResponseMessage response = await client.GetAsync(new Uri("/typed?page=x", UriKind.Relative));
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
    }

    private static async Task<TimeSpan> SwitchAsync(WebApplication app, string file, string mode, FeatureState expected)
    {
        var degradation = app.Services.GetRequiredService<IDegradation>();
        var seen = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using IDisposable subscription = degradation.OnChange(change =>
        {
            if (change.After.State == expected)
            {
                seen.TrySetResult();
            }
        });
        long started = Stopwatch.GetTimestamp();
        await File.WriteAllTextAsync(file, Json(mode));
        await seen.Task.WaitAsync(Eventually.Patience);
        return Stopwatch.GetElapsedTime(started);
    }

    private static string Json(string mode) => $$"""{ "Resilience": { "Degrade": { "Features": { "web-comments": "{{mode}}" } } } }""";

    private static async Task<WebApplication> StartAsync(Action<WebApplicationBuilder>? configure = null, Action<WebApplication>? map = null)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        configure?.Invoke(builder);
        builder.Services.AddDegradation();
        WebApplication app = builder.Build();
        app.Use((context, next) =>
        {
            context.Response.Headers["X-Outer"] = "outer";
            return next(context);
        });
        app.MapGet("/comments", () => "comments").WithPriority(Priority.Low).DegradeWith(Comments, _ => Results.Json("later", statusCode: 503));
        app.MapGet("/plain", () => "plain").DegradeWith(Comments);
        app.MapGet("/typed", (int page) => $"{page}").DegradeWith(Comments, _ => Results.Text("instead"));
        app.MapGet("/broken", (HttpContext context) =>
        {
            context.Response.Headers["X-Half"] = "done";
            throw new InvalidOperationException("broken");
        }).DegradeWith(Comments, (_, _) => new ValueTask<IResult>(Results.Text("instead")));
        app.MapGet("/late", () => "never").DegradeWith(Comments, async (context, cancellationToken) =>
        {
            context.Response.Headers["X-Half"] = "done";
            context.Response.ContentLength = 100;
            await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken);
            return Results.Text("never");
        });
        map?.Invoke(app);
        await app.StartAsync();
        return app;
    }

    private static HttpClient Client(WebApplication app) => new()
    {
        BaseAddress = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First()),
    };

    /// <summary>Something else in the configuration that changes while the file is broken.</summary>
    private sealed class OtherSource : ConfigurationProvider, IConfigurationSource
    {
        public IConfigurationProvider Build(IConfigurationBuilder builder) => this;

        public void Reload() => OnReload();
    }
}
