using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;

namespace Resilience.Context.Tests.Propagation;

public sealed class ScopePropagationHandlerTests
{
    private static readonly ScopeKey<string> Tenant = new("tenant", ScopeFlow.Propagate);
    private static readonly ScopeKey<string> Local = new("local", ScopeFlow.Detach);
    private static readonly ScopeKey<string> Secret = new("secret", ScopeFlow.Sensitive);
    private static readonly ScopeKey<int> Shard = new("shard", ScopeFlow.Propagate, static value => value.ToString(), int.Parse);
    private readonly ManualTimeProvider _clock = new();

    [Fact]
    public async Task Send_InScope_CarriesWhatMayTravel()
    {
        using RequestScope scope = Begin(1000);
        scope.Set(Tenant, "acme, inc;\r\nX-Evil: 1");
        scope.Set(Shard, 7);
        scope.Set(Local, "local");
        scope.Set(Secret, "hunter2");
        HttpRequestMessage sent = await SendAsync();
        Assert.Equal("980", Header(sent, DeadlineCodec.TimeoutHeader));
        Assert.Equal("r-1", Header(sent, ScopeHeaders.RequestId));
        Assert.Equal("low", Header(sent, ScopeHeaders.Priority));
        Assert.Equal("tenant=acme%2C%20inc%3B%0D%0AX-Evil%3A%201,shard=7", Header(sent, ScopeHeaders.Baggage));
    }

    [Fact]
    public async Task Send_NoScope_CarriesNothing() => Assert.Empty((await SendAsync()).Headers);

    [Fact]
    public async Task Send_Grpc_CarriesGrpcTimeout()
    {
        using RequestScope scope = Begin(1000);
        HttpRequestMessage sent = await SendAsync(change: static request =>
        {
            request.Method = HttpMethod.Post;
            request.Content = new ByteArrayContent([]);
            request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/grpc+proto");
        });
        Assert.Equal("980m", Header(sent, DeadlineCodec.GrpcTimeoutHeader));
        Assert.Null(Header(sent, DeadlineCodec.TimeoutHeader));
    }

    [Theory]
    [InlineData("500", "500")]
    [InlineData("5000", "980")]
    [InlineData("nonsense", "980")]
    public async Task Send_DeadlineSetByTheClientItself_TheShorterGoes(string own, string expected)
    {
        using RequestScope scope = Begin(1000);
        HttpRequestMessage sent = await SendAsync(change: request => request.Headers.TryAddWithoutValidation(DeadlineCodec.TimeoutHeader, own));
        Assert.Equal(expected, Header(sent, DeadlineCodec.TimeoutHeader));
    }

    [Fact]
    public async Task Send_TooLittleLeft_IsNotSent()
    {
        using RequestScope scope = Begin(1000);
        _clock.Advance(TimeSpan.FromMilliseconds(994));
        bool isSent = false;
        var error = await Assert.ThrowsAsync<DeadlineExceededException>(() => SendAsync(send: (_, _) =>
        {
            isSent = true;
            return Task.FromResult(new HttpResponseMessage());
        }));
        Assert.False(isSent);
        Assert.Equal(6, error.Remaining.TotalMilliseconds);
        Assert.DoesNotContain("secret-path", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Send_DeadlinePassesOnTheWay_IsCancelledAndNamed()
    {
        using RequestScope scope = Begin(1000);
        Task<HttpRequestMessage> sending = SendAsync(send: static async (_, token) =>
        {
            await Task.Delay(Timeout.Infinite, token);
            return new HttpResponseMessage();
        });
        _clock.Advance(TimeSpan.FromSeconds(1));
        await Assert.ThrowsAsync<DeadlineExceededException>(() => sending);
    }

    [Fact]
    public async Task Send_CallerCancels_IsAPlainCancellation()
    {
        using RequestScope scope = Begin(1000);
        using var caller = new CancellationTokenSource();
        Task<HttpRequestMessage> sending = SendAsync(cancellationToken: caller.Token, send: static async (_, token) =>
        {
            await Task.Delay(Timeout.Infinite, token);
            return new HttpResponseMessage();
        });
        await caller.CancelAsync();
        OperationCanceledException error = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sending);
        Assert.IsNotType<DeadlineExceededException>(error);
    }

    [Fact]
    public async Task Send_CallerPassesTheScopesOwnToken_TheDeadlineIsNamedAllTheSame()
    {
        using RequestScope scope = Begin(1000);
        Task<HttpRequestMessage> sending = SendAsync(cancellationToken: scope.Token, send: static async (_, token) =>
        {
            await Task.Delay(Timeout.Infinite, token);
            return new HttpResponseMessage();
        });
        _clock.Advance(TimeSpan.FromSeconds(1));
        await Assert.ThrowsAsync<DeadlineExceededException>(() => sending);
    }

    [Fact]
    public async Task Send_AttemptTimeout_BoundsTheAttemptAndWhatTheServerIsTold()
    {
        using RequestScope scope = Begin(1000);
        string? told = null;
        TaskCanceledException error = await Assert.ThrowsAsync<TaskCanceledException>(() => SendAsync(new ScopePropagationOptions { AttemptTimeout = TimeSpan.FromMilliseconds(50) }, send: async (request, token) =>
        {
            told = Header(request, DeadlineCodec.TimeoutHeader);
            await Task.Delay(Timeout.Infinite, token);
            return new HttpResponseMessage();
        }));
        Assert.Equal("48", told);
        Assert.IsType<TimeoutException>(error.InnerException);
        Assert.False(scope.Token.IsCancellationRequested);
    }

    [Fact]
    public async Task Send_HandlerBelowGivesUpByItself_ItsErrorIsLeftAsItIs()
    {
        using RequestScope scope = Begin(1000);
        var own = new TaskCanceledException("the connection took too long");
        Assert.Same(own, await Assert.ThrowsAsync<TaskCanceledException>(() => SendAsync(send: (_, _) => Task.FromException<HttpResponseMessage>(own))));
    }

    [Fact]
    public void SendSynchronously_IsBoundAndToldLikeAnyOther()
    {
        using RequestScope scope = Begin(1000);
        using HttpMessageInvoker invoker = Invoker(null, static (request, token) =>
        {
            Assert.True(token.CanBeCanceled);
            return Task.FromResult(new HttpResponseMessage());
        });
        using var first = new HttpRequestMessage(HttpMethod.Get, "http://inventory/");
        invoker.Send(first, TestContext.Current.CancellationToken).Dispose();
        Assert.Equal(("980", "r-1"), (Header(first, DeadlineCodec.TimeoutHeader), Header(first, ScopeHeaders.RequestId)));

        using HttpMessageInvoker slow = Invoker(null, (_, token) =>
        {
            _clock.Advance(TimeSpan.FromMilliseconds(996));
            return Task.FromCanceled<HttpResponseMessage>(token);
        });
        using var second = new HttpRequestMessage(HttpMethod.Get, "http://inventory/");
        _clock.Advance(TimeSpan.FromMilliseconds(4));
        Assert.Throws<DeadlineExceededException>(() => slow.Send(second, CancellationToken.None));
        Assert.Equal(ScopeCause.Deadline, scope.Cause);

        using var third = new HttpRequestMessage(HttpMethod.Get, "http://inventory/");
        Assert.Throws<DeadlineExceededException>(() => invoker.Send(third, CancellationToken.None));
        Assert.Empty(third.Headers);
    }

    [Theory]
    [InlineData("http://inventory/x", true)]
    [InlineData("http://a.internal.example/x", true)]
    [InlineData("http://inventory.evil.example/x", false)]
    [InlineData("http://internal.example.evil/x", false)]
    public async Task Send_ForeignHost_IsToldNothing(string uri, bool isTold)
    {
        using RequestScope scope = Begin(1000);
        var options = new ScopePropagationOptions { Hosts = { "inventory", ".internal.example" } };
        HttpRequestMessage sent = await SendAsync(options, request => request.RequestUri = new Uri(uri));
        Assert.Equal(isTold, sent.Headers.Any());
    }

    /// <summary>The platform's handler keeps headers when it follows a redirect.</summary>
    [Fact]
    public async Task Send_RedirectToAForeignHost_IsTheAnswerAndTellsItNothing()
    {
        using RequestScope scope = Begin(60_000);
        using var server = new RedirectingServer();
        using var invoker = new HttpMessageInvoker(new ScopePropagationHandler(new ScopePropagationOptions { Hosts = { "told.example" } }) { InnerHandler = server.NewClient() });
        using var request = new HttpRequestMessage(HttpMethod.Get, "http://told.example/");
        using HttpResponseMessage response = await invoker.SendAsync(request, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.Found, response.StatusCode);
        Assert.Contains(ScopeHeaders.RequestId, Assert.Single(server.Heard), StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Send_HandlerThatHasFollowedRedirectsBefore_IsRefusedWhereNotAllHostsAreTold()
    {
        using RequestScope scope = Begin(60_000);
        using var server = new RedirectingServer();
        using SocketsHttpHandler shared = server.NewClient();
        using var all = new HttpMessageInvoker(new ScopePropagationHandler { InnerHandler = shared }, disposeHandler: false);
        using var request = new HttpRequestMessage(HttpMethod.Get, "http://told.example/");
        using HttpResponseMessage response = await all.SendAsync(request, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode); // of the other host
        Assert.Equal(2, server.Heard.Count);

        using var some = new HttpMessageInvoker(new ScopePropagationHandler(new ScopePropagationOptions { Hosts = { "told.example" } }) { InnerHandler = shared }, disposeHandler: false);
        using var again = new HttpRequestMessage(HttpMethod.Get, "http://told.example/");
        InvalidOperationException refused = await Assert.ThrowsAsync<InvalidOperationException>(() => some.SendAsync(again, TestContext.Current.CancellationToken));
        Assert.Contains("AllowAutoRedirect", refused.Message, StringComparison.Ordinal);
        Assert.Equal(2, server.Heard.Count);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Send_HostsAreNamed_RedirectsAreOffWhateverIsInBetween(bool isNamed)
    {
        var options = new ScopePropagationOptions();
        if (isNamed)
        {
            options.Hosts.Add("told.example");
        }

        using var client = new HttpClientHandler();
        using var between = new Between { InnerHandler = client };
        using var invoker = new HttpMessageInvoker(new ScopePropagationHandler(options) { InnerHandler = between });
        using var request = new HttpRequestMessage(HttpMethod.Get, "http://told.example/");
        (await invoker.SendAsync(request, TestContext.Current.CancellationToken)).Dispose(); // in no scope: the handler may still be used in one
        Assert.Equal(!isNamed, client.AllowAutoRedirect);
    }

    [Fact]
    public async Task Send_SameMessageTwice_TheDeadlineShrinksAndBaggageStandsOnce()
    {
        using RequestScope scope = Begin(1000);
        scope.Set(Tenant, "acme");
        using var request = new HttpRequestMessage(HttpMethod.Get, "http://inventory/");
        request.Headers.TryAddWithoutValidation(ScopeHeaders.Baggage, "other=1");
        using var invoker = Invoker(null, static (_, _) => Task.FromResult(new HttpResponseMessage()));
        for (int attempt = 0; attempt < 2; attempt++)
        {
            (await invoker.SendAsync(request, TestContext.Current.CancellationToken)).Dispose();
            _clock.Advance(TimeSpan.FromMilliseconds(500));
        }

        Assert.Equal("490", Header(request, DeadlineCodec.TimeoutHeader));
        Assert.Equal("other=1,tenant=acme", Header(request, ScopeHeaders.Baggage));
    }

    private static string? Header(HttpRequestMessage request, string name) =>
        request.Headers.NonValidated.TryGetValues(name, out HeaderStringValues values) ? values.ToString() : null;

    private static HttpMessageInvoker Invoker(ScopePropagationOptions? options, Func<HttpRequestMessage, CancellationToken, Task<HttpResponseMessage>> send) =>
        new(new ScopePropagationHandler(options) { InnerHandler = new Stub(send) });

    private static async Task<HttpRequestMessage> SendAsync(ScopePropagationOptions? options = null, Action<HttpRequestMessage>? change = null, Func<HttpRequestMessage, CancellationToken, Task<HttpResponseMessage>>? send = null, CancellationToken cancellationToken = default)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, "http://inventory/secret-path");
        change?.Invoke(request);
        using HttpMessageInvoker invoker = Invoker(options, send ?? (static (_, _) => Task.FromResult(new HttpResponseMessage())));
        (await invoker.SendAsync(request, cancellationToken)).Dispose();
        return request;
    }

    private RequestScope Begin(int milliseconds) =>
        RequestScope.Begin(new ScopeOptions { Id = "r-1", Priority = Priority.Low, Timeout = TimeSpan.FromMilliseconds(milliseconds), TimeProvider = _clock });

    private sealed class Between : DelegatingHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) => Task.FromResult(new HttpResponseMessage());
    }

    /// <summary>Whatever host is asked for, it is this; told.example sends its callers to other.example.</summary>
    private sealed class RedirectingServer : IDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);

        public RedirectingServer()
        {
            _listener.Start();
            _ = ServeAsync();
        }

        /// <summary>The heads of the requests that came.</summary>
        public ConcurrentQueue<string> Heard { get; } = [];

        public SocketsHttpHandler NewClient() => new()
        {
            ConnectCallback = async (_, cancellationToken) =>
            {
                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                await socket.ConnectAsync(_listener.LocalEndpoint, cancellationToken);
                return new NetworkStream(socket, ownsSocket: true);
            },
        };

        public void Dispose() => _listener.Dispose();

        private async Task ServeAsync()
        {
            while (await AcceptAsync() is { } caller)
            {
                using TcpClient connection = caller;
                using var reader = new StreamReader(caller.GetStream());
                string head = "";
                while (await reader.ReadLineAsync() is { Length: > 0 } line)
                {
                    head += line + '\n';
                }

                Heard.Enqueue(head);
                string status = head.Contains("told.example", StringComparison.Ordinal) ? "302 Found\r\nLocation: http://other.example/" : "200 OK";
                await caller.GetStream().WriteAsync(Encoding.ASCII.GetBytes($"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
            }
        }

        private async Task<TcpClient?> AcceptAsync()
        {
            try
            {
                return await _listener.AcceptTcpClientAsync();
            }
            catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
            {
                return null; // The test is over.
            }
        }
    }

    private sealed class Stub(Func<HttpRequestMessage, CancellationToken, Task<HttpResponseMessage>> send) : HttpMessageHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) => send(request, cancellationToken);

        protected override HttpResponseMessage Send(HttpRequestMessage request, CancellationToken cancellationToken) => send(request, cancellationToken).GetAwaiter().GetResult();
    }
}
