using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Polly.CircuitBreaker;
using Polly.Timeout;
using Resilience.AspNetCore.Tests.Scopes;
using Resilience.Caching;
using Resilience.Caching.Guard;
using Resilience.Context;
using Resilience.Pools;
using Resilience.TestKit;

namespace Resilience.AspNetCore.Tests.Failures;

/// <summary>What a caller is told when something that a request needs is not there, over a real server.</summary>
public sealed class FailureAnswersTests
{
    private const int Logged = 5000;

    public static TheoryData<string, int, int> Unavailable => new()
    {
        { "cache-timeout", 1, 4 },
        { "guard-journal", 1, 4 },
        { "queue-full", 1, 4 },
        { "circuit-open", 8, 12 },
        { "pipeline-timeout", 1, 4 },
    };

    [Theory]
    [MemberData(nameof(Unavailable))]
    public async Task Unavailable_Is503WithRetryAfter(string what, int least, int most)
    {
        await using ScopeApp app = await ScopeApp.StartAsync(app => app.MapGet("/", void (HttpContext context) =>
        {
            context.Response.Headers["X-Half-Done"] = "yes";
            throw Thrown(what);
        }));

        using HttpResponseMessage answer = await app.SendAsync("/");

        Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.StatusCode);
        Assert.InRange(answer.Headers.RetryAfter!.Delta!.Value.TotalSeconds, least, most);
        Assert.False(answer.Headers.Contains("X-Half-Done"));
        Assert.Empty(await answer.Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Pool_NothingFreeInTime_Is503()
    {
        await using ScopeApp app = await StartWithPoolAsync(TimeSpan.FromMilliseconds(20));
        using HttpResponseMessage answer = await app.SendAsync("/both");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.StatusCode);
        Assert.NotNull(answer.Headers.RetryAfter);
    }

    [Fact]
    public async Task Pool_WaitEndedByTheDeadline_Is504()
    {
        await using ScopeApp app = await StartWithPoolAsync(TimeSpan.FromHours(1));
        using HttpResponseMessage answer = await app.SendAsync("/both", ("X-Request-Timeout-Ms", "100"));
        Assert.Equal(HttpStatusCode.GatewayTimeout, answer.StatusCode);
        Assert.Null(answer.Headers.RetryAfter);
    }

    [Theory]
    [InlineData(9, HttpStatusCode.ServiceUnavailable)]
    [InlineData(11, HttpStatusCode.GatewayTimeout)]
    public async Task Unavailable_AfterTheDeadline_Is504(int seconds, HttpStatusCode expected)
    {
        var clock = new ManualTimeProvider();
        await using ScopeApp app = await ScopeApp.StartAsync(
            app => app.MapGet("/", void () =>
            {
                clock.Advance(TimeSpan.FromSeconds(seconds));
                throw Thrown("cache-timeout");
            }),
            clock: clock,
            settings: ("DefaultTimeout", "00:00:10"));
        using HttpResponseMessage answer = await app.SendAsync("/");
        Assert.Equal(expected, answer.StatusCode);
    }

    [Fact]
    public async Task Pool_BackendDown_Is503UntilItsNextAttempt()
    {
        await using ScopeApp app = await ScopeApp.StartAsync(
            app => app.MapGet("/", static async ([FromKeyedServices("down")] ResourcePool<object> pool) => await (await pool.AcquireAsync()).DisposeAsync()),
            static (services, _) => services.AddResourcePool<object>("down", static (_, _) => throw new InvalidOperationException("db.internal refuses"))
                .Configure(static options => options.BreakAfter = 1));

        using HttpResponseMessage answer = await app.SendAsync("/");

        Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.StatusCode);
        Assert.True(answer.Headers.RetryAfter!.Delta >= TimeSpan.FromSeconds(1));
    }

    [Fact]
    public async Task ProblemDetails_Registered_IsTheBodyAndTellsNoSecret()
    {
        await using ScopeApp app = await ScopeApp.StartAsync(
            app =>
            {
                app.MapGet("/", static void () => throw Thrown("cache-timeout"));
                app.MapGet("/late", static void () => throw new DeadlineExceededException("upstream at db.internal"));
            },
            static (services, _) => services.AddProblemDetails());

        foreach ((string path, int status) in new[] { ("/", 503), ("/late", 504) })
        {
            using HttpResponseMessage answer = await app.SendAsync(path);
            string body = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
            Assert.Equal("application/problem+json", answer.Content.Headers.ContentType!.MediaType);
            Assert.Equal(status, JsonDocument.Parse(body).RootElement.GetProperty("status").GetInt32());
            Assert.DoesNotContain("products", body, StringComparison.Ordinal);
            Assert.DoesNotContain("db.internal", body, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task AnswerThatHasBegun_IsCutAndNotContinued()
    {
        await using ScopeApp app = await ScopeApp.StartAsync(app => app.MapGet("/", static async (HttpContext context) =>
        {
            await context.Response.WriteAsync("half of it");
            await context.Response.Body.FlushAsync();
            throw Thrown("cache-timeout");
        }));

        await Assert.ThrowsAnyAsync<Exception>(async () => await (await app.SendAsync("/")).Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
    }

    [Theory]
    [InlineData("mistake")]
    [InlineData("reentrancy")]
    [InlineData("cancelled")]
    public async Task MistakeInTheCode_Stays500(string what)
    {
        await using ScopeApp app = await ScopeApp.StartAsync(app => app.MapGet("/", void () => throw Thrown(what)));
        using HttpResponseMessage answer = await app.SendAsync("/");
        Assert.Equal(HttpStatusCode.InternalServerError, answer.StatusCode);
    }

    [Fact]
    public async Task SwitchedOff_LeavesThemToTheApplicationAndTheDeadlineToUs()
    {
        await using ScopeApp app = await ScopeApp.StartAsync(
            app =>
            {
                app.MapGet("/", static void () => throw Thrown("cache-timeout"));
                app.MapGet("/late", static void () => throw new DeadlineExceededException());
            },
            settings: ("Resilience:Failures:Answer", "false"));

        Assert.Equal(HttpStatusCode.InternalServerError, (await app.SendAsync("/")).StatusCode);
        Assert.Equal(HttpStatusCode.GatewayTimeout, (await app.SendAsync("/late")).StatusCode);

        app.Set("Resilience:Failures:Answer", "true");
        await Eventually.TrueAsync(async () => (await app.SendAsync("/")).StatusCode == HttpStatusCode.ServiceUnavailable, "the reload is in force");
    }

    [Fact]
    public async Task ExceptionHandlerInside_LeavesOursToUs()
    {
        await using ScopeApp app = await ScopeApp.StartAsync(app =>
        {
            app.UseExceptionHandler(static errors => errors.Run(static context => context.Response.WriteAsync("sorry")));
            app.MapGet("/", static void () => throw Thrown("circuit-open"));
            app.MapGet("/late", static async () => await Task.Delay(Timeout.Infinite, RequestScope.Current!.Token));
            app.MapGet("/mistake", static void () => throw Thrown("mistake"));
        });

        using HttpResponseMessage answer = await app.SendAsync("/");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.StatusCode);
        Assert.NotNull(answer.Headers.RetryAfter);
        Assert.Equal(HttpStatusCode.GatewayTimeout, (await app.SendAsync("/late", ("X-Request-Timeout-Ms", "50"))).StatusCode);
        using HttpResponseMessage mistake = await app.SendAsync("/mistake");
        Assert.Equal((HttpStatusCode.InternalServerError, "sorry"), (mistake.StatusCode, await mistake.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)));
    }

    [Fact]
    public async Task Rule_OfTheApplication_Is503()
    {
        await using ScopeApp app = await ScopeApp.StartAsync(
            app => app.MapGet("/{what}", static void (string what) => throw Thrown(what)),
            static (_, scopes) => scopes.AnswerUnavailable(static _ => false).AnswerUnavailable(static exception => exception is IOException));

        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await app.SendAsync("/disk")).StatusCode);
        Assert.Equal(HttpStatusCode.InternalServerError, (await app.SendAsync("/mistake")).StatusCode);
    }

    [Fact]
    public async Task Grpc_IsUnavailableInTheHeaders()
    {
        await using ScopeApp app = await ScopeApp.StartAsync(app => app.MapPost("/", static void () => throw Thrown("cache-timeout")));
        using var request = new HttpRequestMessage(HttpMethod.Post, "/") { Content = new ByteArrayContent([]) };
        request.Content.Headers.TryAddWithoutValidation("Content-Type", "application/grpc");
        using HttpResponseMessage answer = await app.Client.SendAsync(request, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal("14", answer.Headers.GetValues("grpc-status").Single());
    }

    [Fact]
    public async Task ManyFailures_AreLoggedOnceAndThenWithTheirCount()
    {
        var clock = new ManualTimeProvider();
        var log = new LogCollector();
        await using ScopeApp app = await ScopeApp.StartAsync(
            app => app.MapGet("/{what}", static void (string what) => throw Thrown(what)),
            (services, _) => services.AddSingleton<ILoggerProvider>(log),
            clock: clock);

        for (int i = 0; i < 20; i++)
        {
            await app.SendAsync("/cache-timeout");
        }

        await app.SendAsync("/queue-full");
        Assert.Equal(2, log.WithId(Logged).Count);
        clock.Advance(TimeSpan.FromMinutes(1));
        await app.SendAsync("/cache-timeout");

        IReadOnlyList<LogEntry> entries = log.WithId(Logged);
        Assert.Equal([LogLevel.Warning, LogLevel.Warning, LogLevel.Warning], entries.Select(entry => entry.Level));
        Assert.Contains("cache 'products': 1 ", entries[0].Message, StringComparison.Ordinal);
        Assert.Contains("because of queue: 1 ", entries[1].Message, StringComparison.Ordinal);
        Assert.Contains("cache 'products': 20 ", entries[2].Message, StringComparison.Ordinal);
        Assert.DoesNotContain(log.Entries, entry => entry.Level >= LogLevel.Error);
    }

    private static Task<ScopeApp> StartWithPoolAsync(TimeSpan acquireTimeout) => ScopeApp.StartAsync(
        app => app.MapGet("/both", static async ([FromKeyedServices("one")] ResourcePool<object> pool) =>
        {
            await using PoolLease<object> first = await pool.AcquireAsync();
            await using PoolLease<object> second = await pool.AcquireAsync();
        }),
        (services, _) => services.AddResourcePool<object>("one", static (_, _) => new ValueTask<object>(new object()))
            .Configure(options => (options.MaxSize, options.AcquireTimeout) = (1, acquireTimeout)));

    private static Exception Thrown(string what) => what switch
    {
        "cache-timeout" => new CacheLoadTimeoutException("products", TimeSpan.FromSeconds(5)),
        "guard-journal" => new GuardJournalException("products", 1, null),
        "queue-full" => new WorkRefusedException("full"),
        "circuit-open" => new BrokenCircuitException("open", TimeSpan.FromSeconds(7.5)),
        "pipeline-timeout" => new TimeoutRejectedException("late", TimeSpan.FromSeconds(1)),
        "disk" => new IOException("disk"),
        "reentrancy" => new CacheReentrancyException("products", ["a", "a"]),
        "cancelled" => new OperationCanceledException(),
        _ => new InvalidOperationException("a mistake"),
    };
}
