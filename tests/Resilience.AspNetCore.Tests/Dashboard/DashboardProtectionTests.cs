using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Resilience.AspNetCore.Tests.Dashboard;

public sealed class DashboardProtectionTests
{
    [Fact]
    public async Task Start_NoPolicy_FailsAndSaysWhatToDo()
    {
        InvalidOperationException exception = await Assert.ThrowsAsync<InvalidOperationException>(() => DashboardHost.StartAsync(app => app.MapResilienceDashboard("/ops/kit")));

        Assert.Contains("'/ops/kit'", exception.Message, StringComparison.Ordinal);
        Assert.Contains("RequireAuthorization", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Start_PolicyTakenBackByAllowAnonymous_Fails() =>
        await Assert.ThrowsAsync<InvalidOperationException>(() => DashboardHost.StartAsync(app => app.MapResilienceDashboard().RequireAuthorization("ops").AllowAnonymous()));

    [Fact]
    public async Task Start_InsideAnonymousGroup_Fails() =>
        await Assert.ThrowsAsync<InvalidOperationException>(() => DashboardHost.StartAsync(app => app.MapGroup("/admin").AllowAnonymous().MapResilienceDashboard().RequireAuthorization("ops")));

    [Fact]
    public async Task Start_PolicyForChangesOnly_Fails() =>
        await Assert.ThrowsAsync<InvalidOperationException>(() => DashboardHost.StartAsync(app => app.MapResilienceDashboard().RequireAuthorizationToChange("ops")));

    [Fact]
    public async Task Start_PolicyOfTheGroupAround_Counts()
    {
        await using DashboardHost host = await DashboardHost.StartAsync(app => app.MapGroup("/admin").RequireAuthorization("ops").MapResilienceDashboard());
        using Visitor stranger = host.Visit();
        using Visitor operatorOnDuty = host.Visit("mira", "ops");

        Assert.Equal(HttpStatusCode.Unauthorized, (await stranger.GetAsync("/admin/resilience/")).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await operatorOnDuty.GetAsync("/admin/resilience/")).StatusCode);
    }

    [Fact]
    public void Map_WithoutServices_SaysWhatToAdd()
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        WebApplication app = builder.Build();

        InvalidOperationException exception = Assert.Throws<InvalidOperationException>(() => app.MapResilienceDashboard());
        Assert.Contains("AddResilienceDashboard()", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task EveryEndpoint_Stranger_GetsNothing()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        using Visitor stranger = host.Visit();
        using Visitor viewer = host.Visit("tom");
        RouteEndpoint[] endpoints = [.. host.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()];

        Assert.True(endpoints.Length >= 12, $"only {endpoints.Length} endpoints");
        foreach (RouteEndpoint endpoint in endpoints)
        {
            string path = endpoint.RoutePattern.RawText!.Replace("{name}", "any", StringComparison.Ordinal);
            bool isPost = endpoint.Metadata.GetMetadata<HttpMethodMetadata>()!.HttpMethods.Contains("POST");
            using HttpResponseMessage strangers = isPost ? await stranger.PostAsync(path, new { }, null) : await stranger.GetAsync(path);
            using HttpResponseMessage viewers = isPost ? await viewer.PostAsync(path, new { }, null) : await viewer.GetAsync(path);
            Assert.Equal(HttpStatusCode.Unauthorized, strangers.StatusCode);
            Assert.Equal(HttpStatusCode.Forbidden, viewers.StatusCode);
        }
    }

    [Theory]
    [InlineData("/resilience/")]
    [InlineData("/resilience/dashboard.js")]
    [InlineData("/resilience/state")]
    [InlineData("/resilience/token")]
    [InlineData("/resilience")]
    public async Task Answers_Always_CarryTheHeaders(string path)
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        using Visitor visitor = host.Visit("mira", "ops");

        using HttpResponseMessage answer = await visitor.GetAsync(path);

        string policy = Assert.Single(answer.Headers.GetValues("Content-Security-Policy"));
        Assert.Contains("default-src 'none'", policy, StringComparison.Ordinal);
        Assert.Contains("frame-ancestors 'none'", policy, StringComparison.Ordinal);
        Assert.DoesNotContain("unsafe", policy, StringComparison.Ordinal);
        Assert.Equal("no-store", answer.Headers.CacheControl!.ToString());
        Assert.Equal("DENY", Assert.Single(answer.Headers.GetValues("X-Frame-Options")));
        Assert.Equal("nosniff", Assert.Single(answer.Headers.GetValues("X-Content-Type-Options")));
    }

    [Fact]
    public async Task Page_WithoutSlash_RedirectsBelowThePathBase()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        using Visitor visitor = host.Visit("mira", "ops");

        using HttpResponseMessage answer = await visitor.GetAsync("/resilience");

        Assert.Equal(HttpStatusCode.Redirect, answer.StatusCode);
        Assert.Equal("/resilience/", answer.Headers.Location!.ToString());
    }

    [Fact]
    public void Files_None_MakesMarkupOfTextOrRunsInline()
    {
        string page = Text("index.html");
        Assert.DoesNotContain(" style=", page, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotMatch("\\son[a-z]+=", page);
        Assert.DoesNotMatch("<script(?![^>]*\\ssrc=)", page);
        Assert.DoesNotMatch("https?://", page);
        string[] scripts = [.. AspNetCore.Dashboard.DashboardPages.Assets.Where(asset => asset.Name.EndsWith(".js", StringComparison.Ordinal)).Select(asset => Text(asset.Name))];
        Assert.True(scripts.Length >= 8);
        Assert.All(scripts, script => Assert.DoesNotMatch("innerHTML|outerHTML|insertAdjacentHTML|document\\.write|\\beval\\(|new Function", script));

        static string Text(string name)
        {
            using Stream stream = typeof(ResilienceDashboardConventionBuilder).Assembly.GetManifestResourceStream("dashboard/" + name)!;
            return new StreamReader(stream).ReadToEnd();
        }
    }
}
