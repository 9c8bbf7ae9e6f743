using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Resilience.AspNetCore;

namespace Resilience.AspNetCore.Tests.Scopes;

/// <summary>A real Kestrel on a free loopback port, with request scopes unless a control does without.</summary>
internal sealed class ScopeApp : IAsyncDisposable
{
    private readonly WebApplication _app;

    private ScopeApp(WebApplication app)
    {
        _app = app;
        Address = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single());
        Client = new HttpClient { BaseAddress = Address };
    }

    public Uri Address { get; }

    public HttpClient Client { get; }

    public IServiceProvider Services => _app.Services;

    public static async Task<ScopeApp> StartAsync(Action<WebApplication> map, Action<IServiceCollection, IRequestScopesBuilder>? services = null, bool trustsLoopback = true, bool usesScopes = true, TimeProvider? clock = null, params (string Key, string Value)[] settings)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Configuration.AddInMemoryCollection(settings.Select(setting => KeyValuePair.Create(setting.Key.StartsWith("Resilience:", StringComparison.Ordinal) ? setting.Key : $"Resilience:Context:{setting.Key}", (string?)setting.Value)));
        if (trustsLoopback)
        {
            builder.Configuration.AddInMemoryCollection([KeyValuePair.Create("Resilience:Context:TrustedPeers:0", (string?)"127.0.0.0/8")]);
        }

        if (clock is not null)
        {
            builder.Services.AddSingleton(clock);
        }

        IRequestScopesBuilder scopes = builder.Services.AddRequestScopes();
        services?.Invoke(builder.Services, scopes);
        WebApplication app = builder.Build();
        if (usesScopes)
        {
            app.UseRequestScopes();
        }

        map(app);
        await app.StartAsync(TestContext.Current.CancellationToken);
        return new ScopeApp(app);
    }

    /// <summary>Changes a setting as a changed file would.</summary>
    public void Set(string key, string? value)
    {
        var root = (IConfigurationRoot)Services.GetRequiredService<IConfiguration>();
        root[key] = value;
        root.Reload();
    }

    public async Task<HttpResponseMessage> SendAsync(string path, params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        foreach ((string name, string value) in headers)
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }

        return await Client.SendAsync(request, TestContext.Current.CancellationToken);
    }

    /// <summary>Opens a connection and speaks HTTP by hand, for what a client would not send.</summary>
    public async Task<NetworkStream> ConnectAsync()
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(Address.Host, Address.Port, TestContext.Current.CancellationToken);
        return new NetworkStream(socket, ownsSocket: true);
    }

    public static async Task<string> ExchangeAsync(NetworkStream stream, string request)
    {
        await stream.WriteAsync(Encoding.Latin1.GetBytes(request), TestContext.Current.CancellationToken);
        byte[] buffer = new byte[8192];
        var answer = new StringBuilder();
        while (true)
        {
            int count = await stream.ReadAsync(buffer, TestContext.Current.CancellationToken);
            answer.Append(Encoding.Latin1.GetString(buffer, 0, count));
            string text = answer.ToString();
            if (count == 0 || (text.Contains("\r\n\r\n", StringComparison.Ordinal) && (text.EndsWith("0\r\n\r\n", StringComparison.Ordinal) || text.Contains("Content-Length: 0", StringComparison.OrdinalIgnoreCase))))
            {
                return text;
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await _app.DisposeAsync();
    }
}
