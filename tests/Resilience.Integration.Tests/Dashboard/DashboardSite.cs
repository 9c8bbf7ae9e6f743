using System.Security.Claims;
using System.Text.Encodings.Web;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Resilience.Caching;
using Resilience.Context;
using Resilience.Degrade;
using Resilience.Pools;
using Resilience.TestKit;

namespace Resilience.Integration.Tests.Dashboard;

/// <summary>A shop with the kit and its dashboard on a loopback port, on a clock that the test moves. Everybody who is signed in may look, ops may switch.</summary>
public sealed class DashboardSite : IAsyncDisposable
{
    public static readonly Feature Comments = Feature.Declare("site-comments", Priority.Low);

    private readonly WebApplication _app;

    private DashboardSite(WebApplication app, ManualTimeProvider clock)
    {
        _app = app;
        Clock = clock;
        Client = new HttpClient { BaseAddress = new Uri(app.Urls.First()) };
    }

    public ManualTimeProvider Clock { get; }

    public HttpClient Client { get; }

    public string Address => _app.Urls.First();

    public IDegradation Degradation => _app.Services.GetRequiredService<IDegradation>();

    public ResourcePool<object> Orders => _app.Services.GetRequiredKeyedService<ResourcePool<object>>("orders");

    public ResilientCache Cache(string name) => _app.Services.GetRequiredKeyedService<ResilientCache>(name);

    public ResourcePool<object> Pool(string name) => _app.Services.GetRequiredKeyedService<ResourcePool<object>>(name);

    public static async Task<DashboardSite> StartAsync(int caches = 2, Action<WebApplicationBuilder>? add = null, Action<WebApplication>? use = null)
    {
        var clock = new ManualTimeProvider(new DateTimeOffset(2030, 1, 1, 3, 0, 0, TimeSpan.Zero));
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { ApplicationName = "shop" });
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Services.AddSingleton<TimeProvider>(clock);
        builder.Services.AddAuthentication("test").AddScheme<AuthenticationSchemeOptions, HeaderScheme>("test", null);
        builder.Services.AddAuthorization(options => options.AddPolicy("ops", policy => policy.RequireRole("ops")));
        builder.Services.AddRequestScopes();
        builder.Services.AddDegradation();
        builder.Services.AddResourcePool<object>("orders", static (_, _) => new ValueTask<object>(new object()));
        builder.Services.Configure<PoolOptions>("orders", options => options.MaxSize = 4);
        for (int i = 0; i < caches; i++)
        {
            builder.Services.AddResilientCache($"cache-{i:00}");
        }

        builder.Services.AddResilienceDashboard();
        add?.Invoke(builder);
        WebApplication app = builder.Build();
        app.UseRequestScopes();
        use?.Invoke(app);
        app.MapGet("/comments", () => "all comments").DegradeWith(Comments, _ => Results.Text("later"));
        app.MapResilienceDashboard().RequireAuthorization().RequireAuthorizationToChange("ops");
        await app.StartAsync();
        return new DashboardSite(app, clock);
    }

    /// <summary>One more reading on every page that watches.</summary>
    public void Tick() => Clock.Advance(TimeSpan.FromSeconds(1));

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await _app.DisposeAsync();
    }

    private sealed class HeaderScheme(IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory logger, UrlEncoder encoder)
        : AuthenticationHandler<AuthenticationSchemeOptions>(options, logger, encoder)
    {
        protected override Task<AuthenticateResult> HandleAuthenticateAsync()
        {
            if (Request.Headers["X-User"] is not [{ Length: > 0 } user])
            {
                return Task.FromResult(AuthenticateResult.NoResult());
            }

            IEnumerable<Claim> roles = Request.Headers["X-Role"].Select(role => new Claim(ClaimTypes.Role, role!));
            return Task.FromResult(AuthenticateResult.Success(new AuthenticationTicket(
                new ClaimsPrincipal(new ClaimsIdentity([new Claim(ClaimTypes.Name, user), .. roles], Scheme.Name)),
                Scheme.Name)));
        }
    }
}
