using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Logging;

namespace Resilience.AspNetCore.Tests.Health;

public sealed class ResilienceHealthTests
{
    [Fact]
    public async Task Live_SomethingElseIsAway_StaysHealthyWhileReadyIsNot()
    {
        await using WebApplication app = await StartAsync(checks => checks
            .AddCheck("resilience-process", () => HealthCheckResult.Healthy("runs"), ["live"])
            .AddCheck("resilience-redis", () => HealthCheckResult.Unhealthy("no connection"), ["ready"]));

        (HttpStatusCode live, JsonElement liveBody) = await AskAsync(app, "live");
        (HttpStatusCode ready, JsonElement readyBody) = await AskAsync(app, "ready");

        Assert.Equal(HttpStatusCode.OK, live);
        Assert.Equal("resilience-process", Assert.Single(liveBody.GetProperty("checks").EnumerateArray()).GetProperty("name").GetString());
        Assert.Equal(HttpStatusCode.ServiceUnavailable, ready);
        Assert.Equal("no connection", readyBody.GetProperty("checks")[0].GetProperty("description").GetString());
    }

    [Fact]
    public async Task Ready_Degraded_StillTakesRequests()
    {
        await using WebApplication app = await StartAsync(checks => checks.AddCheck("pool:orders", () => HealthCheckResult.Degraded("waiters"), ["ready"]));

        (HttpStatusCode status, JsonElement body) = await AskAsync(app, "ready");

        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Equal("Degraded", body.GetProperty("status").GetString());
    }

    [Fact]
    public async Task Ready_ForeignChecksAndExceptions_LeakNoSecrets()
    {
        await using WebApplication app = await StartAsync(checks => checks
            .AddCheck("sql", () => HealthCheckResult.Unhealthy("Host=db;Password=secret", data: new Dictionary<string, object>(StringComparer.Ordinal) { ["connection"] = "secret" }), ["ready"])
            .AddCheck("resilience-broken", () => throw new InvalidOperationException("Password=secret"), ["ready"]));

        (_, JsonElement body) = await AskAsync(app, "ready");

        Assert.DoesNotContain("secret", body.GetRawText(), StringComparison.Ordinal);
        Assert.Contains("InvalidOperationException", body.GetRawText(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Live_NoChecks_IsHealthyAndNotCached()
    {
        await using WebApplication app = await StartAsync(_ => { });
        using var client = new HttpClient();

        using HttpResponseMessage answer = await client.GetAsync(new Uri(app.Urls.First() + "/health/live"), TestContext.Current.CancellationToken);

        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Contains("no-store", answer.Headers.CacheControl!.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Map_WithoutHealthChecks_SaysWhatToAdd()
    {
        WebApplication app = WebApplication.CreateSlimBuilder().Build();
        Assert.Contains("AddHealthChecks()", Assert.Throws<InvalidOperationException>(() => app.MapResilienceHealth()).Message, StringComparison.Ordinal);
    }

    private static async Task<WebApplication> StartAsync(Action<IHealthChecksBuilder> add)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        add(builder.Services.AddHealthChecks());
        WebApplication app = builder.Build();
        app.MapResilienceHealth();
        await app.StartAsync();
        return app;
    }

    private static async Task<(HttpStatusCode Status, JsonElement Body)> AskAsync(WebApplication app, string which)
    {
        using var client = new HttpClient();
        using HttpResponseMessage answer = await client.GetAsync(new Uri($"{app.Urls.First()}/health/{which}"));
        return (answer.StatusCode, JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement);
    }
}
