using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Context;
using Resilience.TestKit;

namespace Resilience.AspNetCore.Tests.Scopes;

public sealed class RequestScopeMiddlewareTests
{
    private static readonly ScopeKey<string> Tenant = new("tenant", ScopeFlow.Propagate);

    [Fact]
    public async Task Request_HasAScopeThatEndsWithIt()
    {
        RequestScope? seen = null;
        await using ScopeApp app = await ScopeApp.StartAsync(app => app.MapGet("/", async () =>
        {
            seen = RequestScope.Current;
            await Task.Yield();
            return Describe();
        }), trustsLoopback: false, clock: new ManualTimeProvider());
        string answer = await app.Client.GetStringAsync("/", TestContext.Current.CancellationToken);
        Assert.Equal($"{seen!.Id} Normal False 10", answer);
        await WaitForEndAsync(seen);
        Assert.Equal(ScopeCause.Ended, seen.Cause);
    }

    [Fact]
    public async Task TrustedPeer_IsBelieved()
    {
        await using ScopeApp app = await StartDescribingAsync((_, scopes) => scopes.Accept(Tenant));
        HttpResponseMessage answer = await app.SendAsync("/", ("X-Request-Id", "abc-1"), ("X-Request-Priority", "low"), ("X-Request-Timeout-Ms", "3000"), ("baggage", "tenant=acme,other=1"));
        Assert.Equal("abc-1 Low True 3 acme", await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Stranger_IsNotBelieved()
    {
        await using ScopeApp app = await StartDescribingAsync((_, scopes) => scopes.Accept(Tenant), trustsLoopback: false);
        HttpResponseMessage answer = await app.SendAsync("/", ("X-Request-Id", "abc-1"), ("X-Request-Priority", "critical"), ("X-Request-Timeout-Ms", "0"), ("baggage", "tenant=acme"));
        string text = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.DoesNotContain("abc-1", text, StringComparison.Ordinal);
        Assert.EndsWith(" Normal False 10", text.TrimEnd(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("mesh", "abc-1 Low True 3")]
    [InlineData("elsewhere", "Normal False 10")]
    public async Task TrustRule_BelievesWhomItKnows(string caller, string expected)
    {
        await using ScopeApp app = await StartDescribingAsync((_, scopes) => scopes.Trust(static _ => false).Trust(static context => context.Request.Headers.UserAgent == "mesh"), trustsLoopback: false);
        HttpResponseMessage answer = await app.SendAsync("/", ("User-Agent", caller), ("X-Request-Id", "abc-1"), ("X-Request-Priority", "low"), ("X-Request-Timeout-Ms", "3000"));
        Assert.EndsWith(expected, await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("600000", "True 5")]
    [InlineData("7000", "True 5")]
    [InlineData("2000", "True 2")]
    public async Task TrustedPeer_AsksForMoreThanAllowed_IsCut(string header, string expected)
    {
        await using ScopeApp app = await StartDescribingAsync(settings: [("MaxInboundTimeout", "00:00:05")]);
        HttpResponseMessage answer = await app.SendAsync("/", ("X-Request-Timeout-Ms", header));
        Assert.Contains(expected, await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Endpoint_SaysItsOwnLimitAndPriority()
    {
        await using ScopeApp app = await ScopeApp.StartAsync(app =>
        {
            app.MapGet("/short", Describe).WithRequestDeadline(TimeSpan.FromSeconds(2)).WithMetadata(new RequestPriorityAttribute(Priority.Bulk));
            app.MapGet("/stream", () => RequestScope.Current!.Deadline.ToString()).WithRequestDeadline(Timeout.InfiniteTimeSpan);
        }, clock: new ManualTimeProvider());
        Assert.Contains("Bulk False 2", await app.Client.GetStringAsync("/short", TestContext.Current.CancellationToken), StringComparison.Ordinal);
        Assert.Equal("none", await app.Client.GetStringAsync("/stream", TestContext.Current.CancellationToken));
        Assert.Contains("Bulk True 1", await (await app.SendAsync("/short", ("X-Request-Timeout-Ms", "1000"))).Content.ReadAsStringAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);
    }

    [Fact]
    public async Task SpentBudget_Is504BeforeTheHandler()
    {
        bool isHandled = false;
        await using ScopeApp app = await ScopeApp.StartAsync(app => app.MapGet("/", () => isHandled = true));
        using var metrics = new MetricCollector("Resilience.Context", app.Services.GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>());
        HttpResponseMessage answer = await app.SendAsync("/", ("X-Request-Timeout-Ms", "0"));
        Assert.Equal(HttpStatusCode.GatewayTimeout, answer.StatusCode);
        Assert.False(isHandled);
        Assert.Equal(1, metrics.Sum("resilience.deadline.exceeded", ("resilience.deadline.stage", "inbound"), ("resilience.deadline.chosen_by", "caller")));
    }

    [Fact]
    public async Task SpentBudget_Grpc_IsDeadlineExceededInTheHeaders()
    {
        await using ScopeApp app = await ScopeApp.StartAsync(app => app.MapPost("/", () => "handled"));
        using var request = new HttpRequestMessage(HttpMethod.Post, "/") { Content = new ByteArrayContent([]) };
        request.Content.Headers.TryAddWithoutValidation("Content-Type", "application/grpc");
        request.Headers.TryAddWithoutValidation("grpc-timeout", "99n");
        HttpResponseMessage answer = await app.Client.SendAsync(request, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal("4", answer.Headers.GetValues("grpc-status").Single());
        Assert.Empty(await answer.Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Handler_StoppedByTheDeadline_Is504()
    {
        await using ScopeApp app = await ScopeApp.StartAsync(app =>
        {
            app.MapGet("/slow", static async () => await Task.Delay(Timeout.Infinite, RequestScope.Current!.Token));
            app.MapGet("/throws", static void () => throw new DeadlineExceededException());
        });
        Assert.Equal(HttpStatusCode.GatewayTimeout, (await app.SendAsync("/slow", ("X-Request-Timeout-Ms", "50"))).StatusCode);
        Assert.Equal(HttpStatusCode.GatewayTimeout, (await app.SendAsync("/throws")).StatusCode);
    }

    [Fact]
    public async Task Client_HangsUp_CauseIsClient()
    {
        var cause = new TaskCompletionSource<ScopeCause>(TaskCreationOptions.RunContinuationsAsynchronously);
        var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using ScopeApp app = await ScopeApp.StartAsync(app => app.MapGet("/", async () =>
        {
            RequestScope scope = RequestScope.Current!;
            scope.Token.UnsafeRegister(_ => cause.TrySetResult(scope.Cause), null);
            started.SetResult();
            await Task.Delay(Timeout.Infinite, scope.Token);
        }));
        using (var hangUp = new CancellationTokenSource())
        {
            Task request = app.Client.GetAsync("/", hangUp.Token);
            await started.Task;
            await hangUp.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => request);
        }

        Assert.Equal(ScopeCause.Client, await cause.Task);
    }

    public static TheoryData<string, string> MalformedHeaders => new(
        from pair in (IEnumerable<(string Name, string[] Values)>)
        [
            ("X-Request-Timeout-Ms", ["-1", "1e3", "5000, 5000", "99999999999999999999", "0x1", "5s", ""]),
            ("X-Request-Id", ["a b", "a\"b", new string('a', 129), "<script>", "a/../b"]),
            ("X-Request-Priority", ["urgent", "0", "low,critical", "-1"]),
        ]
        from value in pair.Values
        select (pair.Name, value));

    [Theory]
    [MemberData(nameof(MalformedHeaders))]
    public async Task MalformedHeader_IsCountedAndOurOwnLimitHolds(string name, string value)
    {
        await using ScopeApp app = await StartDescribingAsync();
        using var metrics = new MetricCollector("Resilience.Context", app.Services.GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>());
        await using NetworkStream stream = await app.ConnectAsync();
        string answer = await ScopeApp.ExchangeAsync(stream, $"GET / HTTP/1.1\r\nHost: x\r\n{name}: {value}\r\n\r\n");
        Assert.Contains("Normal False 10", answer, StringComparison.Ordinal);
        Assert.Equal(1, metrics.Sum("resilience.scope.headers_rejected", ("resilience.scope.header", name)));
    }

    [Theory]
    [InlineData("X-Request-Timeout-Ms: 3000\r\nX-Request-Timeout-Ms: 4000")]
    [InlineData("X-Request-Id: one\r\nX-Request-Id: two")]
    public async Task HeaderTwice_NeitherIsBelieved(string headers)
    {
        await using ScopeApp app = await StartDescribingAsync();
        await using NetworkStream stream = await app.ConnectAsync();
        string answer = await ScopeApp.ExchangeAsync(stream, $"GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n");
        Assert.Contains("Normal False 10", answer, StringComparison.Ordinal);
        Assert.DoesNotContain("one", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task HeaderFuzz_AnyBytes_TheServiceAnswersWithinItsOwnLimits()
    {
        await using ScopeApp app = await StartDescribingAsync((_, scopes) => scopes.Accept(Tenant));
        var random = new Random(20260801);
        string[] names = ["X-Request-Timeout-Ms", "X-Request-Id", "X-Request-Priority", "baggage", "grpc-timeout"];
        int answered = 0;
        NetworkStream stream = await app.ConnectAsync();
        for (int round = 0; round < 1_000; round++)
        {
            // Three in four are text that the server lets through to us, the rest any bytes but line breaks.
            int first = random.Next(4) == 0 ? 0x01 : 0x21;
            int end = first == 0x01 ? 0x100 : 0x7F;
            string value = new([.. Enumerable.Range(0, random.Next(40))
                .Select(_ => (char)(random.Next(4) == 0 ? "0123456789,;=%mSn"[random.Next(17)] : random.Next(first, end)))
                .Where(static character => character is not ('\r' or '\n'))]);
            string header = $"{names[round % names.Length]}: {value}\r\n";
            string answer = await ScopeApp.ExchangeAsync(stream, $"GET / HTTP/1.1\r\nHost: x\r\n{header}{(random.Next(8) == 0 ? header : "")}\r\n");
            if (answer.StartsWith("HTTP/1.1 400", StringComparison.Ordinal))
            {
                // The server itself refuses the bytes and hangs up.
                await stream.DisposeAsync();
                stream = await app.ConnectAsync();
                continue;
            }

            answered++;
            Assert.Matches("^HTTP/1.1 (200|504)", answer);
            Assert.DoesNotContain(answer, static character => char.IsControl(character) && character is not ('\r' or '\n'));
            if (answer.Contains("200 OK", StringComparison.Ordinal))
            {
                Assert.Matches(@"(True|False) (\d(\.\d+)?|10)\b", answer);
            }
        }

        await stream.DisposeAsync();
        Assert.InRange(answered, 500, 1_000);
    }

    [Fact]
    public async Task KeepAlive_TwoRequestsOnOneConnection_NothingBleeds()
    {
        var scopes = new List<RequestScope>();
        var tokens = new List<CancellationToken>();
        var hostTokens = new List<CancellationToken>();
        var before = new List<RequestScope?>();
        var second = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var over = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using ScopeApp app = await ScopeApp.StartAsync(app =>
        {
            app.Use(next => context =>
            {
                before.Add(RequestScope.Current);
                return next(context);
            });
            app.UseRequestScopes();
            app.MapGet("/{number:int}", async (int number, HttpContext context) =>
            {
                RequestScope scope = RequestScope.Current!;
                scopes.Add(scope);
                tokens.Add(scope.Token);
                hostTokens.Add(context.RequestAborted);
                scope.Set(Tenant, $"tenant-{number}");
                if (number == 1)
                {
                    return;
                }

                second.SetResult();
                try
                {
                    await Task.Delay(Timeout.Infinite, scope.Token);
                }
                finally
                {
                    over.SetResult();
                }
            });
        }, usesScopes: false);

        NetworkStream stream = await app.ConnectAsync();
        await ScopeApp.ExchangeAsync(stream, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
        await WaitForEndAsync(scopes[0]);
        int firedLate = 0;
        Assert.True(tokens[0].IsCancellationRequested);
        await stream.WriteAsync("GET /2 HTTP/1.1\r\nHost: x\r\n\r\n"u8.ToArray(), TestContext.Current.CancellationToken);
        await second.Task;

        Assert.Equal([null, null], before);
        Assert.NotSame(scopes[0], scopes[1]);
        Assert.NotEqual(scopes[0].Id, scopes[1].Id);
        Assert.Equal("tenant-2", scopes[1].Get(Tenant));
        Assert.NotEqual(tokens[0], tokens[1]);

        // The host gives both requests the same token: whoever kept the first request's is cancelled with the second.
        Assert.Equal(hostTokens[0], hostTokens[1]);
        hostTokens[0].UnsafeRegister(_ => firedLate++, null);
        await stream.DisposeAsync();
        await over.Task;
        Assert.Equal(1, firedLate);
        Assert.Equal((ScopeCause.Ended, ScopeCause.Client), (scopes[0].Cause, scopes[1].Cause));
    }

    [Fact]
    public async Task UseRequestScopes_WithoutServices_SaysWhatIsMissing()
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        await using WebApplication app = builder.Build();
        Assert.Contains("AddRequestScopes", Assert.Throws<InvalidOperationException>(() => app.UseRequestScopes()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task RequestSnapshot_CopiesAndMasks()
    {
        RequestSnapshot? snapshot = null;
        await using ScopeApp app = await ScopeApp.StartAsync(app => app.MapGet("/cart/{id}", (HttpContext context) =>
        {
            snapshot = RequestSnapshot.Of(context, "User-Agent", "Authorization", "Absent");
        }));
        await app.SendAsync("/cart/7?card=4111", ("User-Agent", "probe/1"), ("Authorization", "Bearer hunter2"), ("X-Request-Id", "abc"));
        Assert.Equal(("abc", "GET", "/cart/7"), (snapshot!.Id, snapshot.Method, snapshot.Path));
        Assert.Equal("probe/1", snapshot.Headers["user-agent"]);
        Assert.Equal("***", snapshot.Headers["Authorization"]);
        Assert.Equal(2, snapshot.Headers.Count);
        Assert.DoesNotContain("4111", snapshot.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Detach_WhatBelongsToTheRequest_IsRefused()
    {
        var key = new ScopeKey<object>("anything", ScopeFlow.Detach);
        using RequestScope scope = RequestScope.Begin();
        var context = new DefaultHttpContext();
        Assert.Throws<ArgumentException>(() => scope.Set<object>(key, context));
        Assert.Throws<ArgumentException>(() => scope.Set<object>(key, context.Request));
        Assert.Throws<ArgumentException>(() => scope.Set<object>(key, (context, 7)));
        Assert.Throws<ArgumentException>(() => new ScopeKey<HttpContext>("context", ScopeFlow.Detach));
        scope.Set<object>(key, RequestSnapshot.Of(context));
        Assert.IsType<RequestSnapshot>(scope.Detach(TimeSpan.FromSeconds(1)).Get(key));
    }

    [Fact]
    public async Task Enqueue_WhatBelongsToTheRequest_IsRefused()
    {
        var settings = new BackgroundQueueSettings();
        await using ServiceProvider services = new ServiceCollection().BuildServiceProvider();
        using var queue = new BackgroundWorkQueue("test", () => settings, services.GetRequiredService<IServiceScopeFactory>(), checkClosures: true);
        var context = new DefaultHttpContext();
        ScopeSnapshot snapshot = ScopeSnapshot.Create(TimeSpan.FromMinutes(1));
        Assert.Throws<ArgumentException>(() => queue.TryEnqueue(snapshot, context, static (_, _, _) => ValueTask.CompletedTask));
        Assert.Throws<ArgumentException>(() => queue.TryEnqueue(snapshot, (context.Request, 7), static (_, _, _) => ValueTask.CompletedTask));
        var error = Assert.Throws<ArgumentException>(() => queue.TryEnqueue(snapshot, 0, (_, _, _) => new ValueTask(Task.FromResult(context.TraceIdentifier))));
        Assert.Contains("'context'", error.Message, StringComparison.Ordinal);
        error = Assert.Throws<ArgumentException>(() => new CartController { Queue = queue }.Enqueue(snapshot));
        Assert.Contains("'this (CartController)'", error.Message, StringComparison.Ordinal);
        Assert.Equal(0, queue.Waiting);
    }

    private sealed class CartController : ControllerBase
    {
        public required BackgroundWorkQueue Queue { get; init; }

        // The lambda uses nothing but a member of the controller, so the controller itself is what the delegate holds.
        public bool Enqueue(ScopeSnapshot snapshot) => Queue.TryEnqueue(snapshot, 0, (_, _, _) => new ValueTask(Task.FromResult(HttpContext)));
    }

    [Fact]
    public async Task Settings_AllErrorsAtTheStart()
    {
        var error = await Assert.ThrowsAsync<Resilience.Settings.SettingsException>(() => StartDescribingAsync(trustsLoopback: false, settings: [("TrustedPeers:0", "10.0.0.1/8"), ("DefaultTimeout", "00:00:00"), ("Leek", "1")]));
        Assert.Contains("Resilience:Context:DefaultTimeout", error.Message, StringComparison.Ordinal);
        Assert.Contains("Leak", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TrustedPeers_MappedAndAbsentAddresses()
    {
        var peers = new AspNetCore.Scopes.TrustedPeers(["10.0.0.0/8", "::1", "192.168.7.7"]);
        Assert.True(peers.Contains(IPAddress.Parse("10.255.0.1")));
        Assert.True(peers.Contains(IPAddress.Parse("::ffff:10.1.2.3")));
        Assert.True(peers.Contains(IPAddress.IPv6Loopback));
        Assert.True(peers.Contains(IPAddress.Parse("192.168.7.7")));
        Assert.False(peers.Contains(IPAddress.Parse("192.168.7.8")));
        Assert.False(peers.Contains(IPAddress.Parse("11.0.0.1")));
        Assert.False(peers.Contains(null));
    }

    // On a clock that stands still: how slow the machine is does not show in what is left of a deadline.
    private static Task<ScopeApp> StartDescribingAsync(Action<IServiceCollection, IRequestScopesBuilder>? services = null, bool trustsLoopback = true, params (string Key, string Value)[] settings) =>
        ScopeApp.StartAsync(static app => app.MapGet("/", Describe), services, trustsLoopback, clock: new ManualTimeProvider(), settings: settings);

    private static string Describe()
    {
        RequestScope scope = RequestScope.Current!;
        return $"{scope.Id} {scope.Priority} {scope.IsDeadlineCallerChosen} {scope.Deadline.Remaining.TotalSeconds:0.###} {scope.Get(Tenant)}".TrimEnd();
    }

    // The answer is on its way before the pipeline has returned.
    private static Task WaitForEndAsync(RequestScope scope) => Eventually.TrueAsync(() => scope.IsEnded, "the scope's end");
}
