using System.Net;
using System.Net.Http.Json;
using System.Security.Claims;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Resilience.AspNetCore.Dashboard;
using Resilience.TestKit;

namespace Resilience.AspNetCore.Tests.Dashboard;

/// <summary>An application with a dashboard on a loopback port. A request says who it is in the header X-User and what they may in X-Roles.</summary>
internal sealed class DashboardHost : IAsyncDisposable
{
    private readonly WebApplication _app;

    private DashboardHost(WebApplication app, ManualTimeProvider clock)
    {
        _app = app;
        Clock = clock;
    }

    public ManualTimeProvider Clock { get; }

    public IServiceProvider Services => _app.Services;

    public DashboardHub Hub => Services.GetRequiredService<DashboardHub>();

    public string Address { get; private set; } = "";

    public static async Task<DashboardHost> StartAsync(Action<WebApplication>? map = null, Action<IServiceCollection>? add = null)
    {
        var clock = new ManualTimeProvider();
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Services.AddSingleton<TimeProvider>(clock);
        builder.Services.AddAuthentication("test").AddScheme<AuthenticationSchemeOptions, HeaderScheme>("test", null);
        builder.Services.AddAuthorization(options =>
        {
            options.AddPolicy("viewers", policy => policy.RequireAuthenticatedUser());
            options.AddPolicy("ops", policy => policy.RequireRole("ops"));
        });
        builder.Services.AddDegradation();
        builder.Services.AddResilienceDashboard().AddResilienceDashboard();
        add?.Invoke(builder.Services);
        WebApplication app = builder.Build();
        (map ?? (app => app.MapResilienceDashboard().RequireAuthorization("ops")))(app);
        try
        {
            await app.StartAsync();
        }
        catch
        {
            await app.DisposeAsync();
            throw;
        }

        return new DashboardHost(app, clock) { Address = app.Urls.First() };
    }

    /// <summary>A browser of a user: keeps cookies, follows nothing.</summary>
    public Visitor Visit(string? user = null, params string[] roles) => new(Address, user, roles);

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    private sealed class HeaderScheme(IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory logger, UrlEncoder encoder)
        : AuthenticationHandler<AuthenticationSchemeOptions>(options, logger, encoder)
    {
        protected override Task<AuthenticateResult> HandleAuthenticateAsync()
        {
            if (Request.Headers["X-User"] is not [{ Length: > 0 } user])
            {
                return Task.FromResult(AuthenticateResult.NoResult());
            }

            IEnumerable<Claim> roles = Request.Headers["X-Roles"].Select(role => new Claim(ClaimTypes.Role, role!));
            var identity = new ClaimsIdentity([new Claim(ClaimTypes.Name, user), .. roles], Scheme.Name);
            return Task.FromResult(AuthenticateResult.Success(new AuthenticationTicket(new ClaimsPrincipal(identity), Scheme.Name)));
        }
    }
}

/// <summary>Somebody at a browser.</summary>
internal sealed class Visitor : IDisposable
{
    private readonly HttpClient _client;

    public Visitor(string address, string? user, string[] roles)
    {
        _client = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false, CookieContainer = Cookies }) { BaseAddress = new Uri(address) };
        if (user is not null)
        {
            _client.DefaultRequestHeaders.Add("X-User", user);
        }

        foreach (string role in roles)
        {
            _client.DefaultRequestHeaders.Add("X-Roles", role);
        }
    }

    public CookieContainer Cookies { get; } = new();

    public Task<HttpResponseMessage> GetAsync(string path) => _client.GetAsync(path, HttpCompletionOption.ResponseHeadersRead);

    public async Task<string> TokenAsync()
    {
        using HttpResponseMessage answer = await GetAsync("/resilience/token");
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        return JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement.GetProperty("token").GetString()!;
    }

    public Task<HttpResponseMessage> OverrideAsync(string feature, object body, string? token, Action<HttpRequestMessage>? change = null) =>
        PostAsync($"/resilience/features/{feature}/override", body, token, change);

    public async Task<HttpResponseMessage> PostAsync(string path, object body, string? token, Action<HttpRequestMessage>? change = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = JsonContent.Create(body) };
        if (token is not null)
        {
            request.Headers.Add(DashboardChanges.TokenHeader, token);
        }

        change?.Invoke(request);
        return await _client.SendAsync(request);
    }

    public void Dispose() => _client.Dispose();
}
