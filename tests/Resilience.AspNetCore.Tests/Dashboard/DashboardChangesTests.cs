using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Resilience.AspNetCore.Dashboard;
using Resilience.Context;
using Resilience.Degrade;

namespace Resilience.AspNetCore.Tests.Dashboard;

public sealed class DashboardChangesTests
{
    private static readonly Feature Comments = Feature.Declare("dashboard-comments", Priority.Low);
    private static readonly object Off30 = new { state = "Off", minutes = 30, reason = "vendor is down" };

    [Fact]
    public async Task Override_Operator_HoldsUntilTimeIsUp()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        using Visitor mira = host.Visit("mira", "ops");
        IDegradation degradation = host.Services.GetRequiredService<IDegradation>();

        using HttpResponseMessage answer = await mira.OverrideAsync(Comments.Name, Off30, await mira.TokenAsync());

        Assert.Equal(HttpStatusCode.NoContent, answer.StatusCode);
        FeatureDecision decision = degradation.Decide(Comments);
        Assert.Equal(FeatureState.Off, decision.State);
        Assert.Equal(DecisionSource.Override, decision.Source);
        Assert.Equal("vendor is down (mira)", decision.Reason);
        Assert.Equal(host.Clock.GetUtcNow().AddMinutes(30), decision.Until);

        host.Clock.Advance(TimeSpan.FromMinutes(30));
        Assert.Equal(FeatureState.Normal, degradation.StateOf(Comments));
        AuditEntry[] audit = host.Hub.SampleNow().Audit;
        Assert.Equal([("(time is up)", "Normal again"), ("mira", "Off")], audit.Select(entry => (entry.Who, entry.What)));
        Assert.Equal("vendor is down", audit[1].Why);
    }

    [Fact]
    public async Task Restore_Operator_EndsTheOverrideAndIsWrittenDown()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        using Visitor mira = host.Visit("mira", "ops");
        string token = await mira.TokenAsync();
        await mira.OverrideAsync(Comments.Name, Off30, token);

        using HttpResponseMessage answer = await mira.PostAsync($"/resilience/features/{Comments.Name}/restore", new { reason = "vendor is back" }, token);

        Assert.Equal(HttpStatusCode.NoContent, answer.StatusCode);
        Assert.Equal(FeatureState.Normal, host.Services.GetRequiredService<IDegradation>().StateOf(Comments));
        AuditEntry last = host.Hub.SampleNow().Audit[0];
        Assert.Equal(("mira", "override lifted", "vendor is back"), (last.Who, last.What, last.Why));
    }

    [Theory]
    [InlineData("""{"state":"Off","minutes":30}""", "reason")]
    [InlineData("""{"state":"Off","minutes":30,"reason":"  "}""", "reason")]
    [InlineData("""{"state":"Off","minutes":30,"reason":"line\nbreak"}""", "reason")]
    [InlineData("""{"state":"Off","reason":"because"}""", "minutes")]
    [InlineData("""{"state":"Off","minutes":0,"reason":"because"}""", "minutes")]
    [InlineData("""{"state":"Off","minutes":1441,"reason":"because"}""", "minutes")]
    [InlineData("""{"minutes":30,"reason":"because"}""", "state")]
    [InlineData("""{"state":7,"minutes":30,"reason":"because"}""", "state")]
    [InlineData("""{"state":"Gone","minutes":30,"reason":"because"}""", null)]
    [InlineData("""{"state":"Off","minutes":30,"reason":"because","who":"somebody else"}""", null)]
    [InlineData("null", null)]
    [InlineData("", null)]
    public async Task Override_NotWhole_ChangesNothingAndSaysWhichField(string body, string? field)
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        using Visitor mira = host.Visit("mira", "ops");

        using HttpResponseMessage answer = await mira.OverrideAsync(Comments.Name, "", await mira.TokenAsync(), request => request.Content = new StringContent(body, Encoding.UTF8, "application/json"));

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        JsonElement problem = JsonDocument.Parse(await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)).RootElement;
        Assert.Equal(field, problem.TryGetProperty("field", out JsonElement named) ? named.GetString() : null);
        Nothing(host);
    }

    [Fact]
    public async Task Override_UnknownFeatureOrHugeBody_Refuses()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        using Visitor mira = host.Visit("mira", "ops");
        string token = await mira.TokenAsync();

        Assert.Equal(HttpStatusCode.NotFound, (await mira.OverrideAsync("no-such-feature", Off30, token)).StatusCode);
        Assert.Equal(HttpStatusCode.BadRequest, (await mira.OverrideAsync(Comments.Name, new { state = "Off", minutes = 1, reason = new string('x', 5000) }, token)).StatusCode);
        Nothing(host);
    }

    [Fact]
    public async Task Override_TokenOfSomebodyElse_Refuses()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        using Visitor mira = host.Visit("mira", "ops");
        using Visitor eve = host.Visit("eve", "ops");
        string evesToken = await eve.TokenAsync();
        await mira.TokenAsync();

        // Even with Eve's cookie planted, the token is bound to the user.
        Assert.Equal(HttpStatusCode.BadRequest, (await mira.OverrideAsync(Comments.Name, Off30, evesToken)).StatusCode);
        mira.Cookies.SetCookies(new Uri(host.Address + "/resilience"), eve.Cookies.GetCookieHeader(new Uri(host.Address + "/resilience/")));
        Assert.Equal(HttpStatusCode.BadRequest, (await mira.OverrideAsync(Comments.Name, Off30, evesToken)).StatusCode);
        Nothing(host);
    }

    [Fact]
    public async Task Override_NoTokenOldTokenOrAnotherBrowser_Refuses()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        using Visitor mira = host.Visit("mira", "ops");
        using Visitor otherBrowser = host.Visit("mira", "ops");
        string token = await mira.TokenAsync();

        Assert.Equal(HttpStatusCode.BadRequest, (await mira.OverrideAsync(Comments.Name, Off30, null)).StatusCode);
        Assert.Equal(HttpStatusCode.BadRequest, (await mira.OverrideAsync(Comments.Name, Off30, token[..^2] + "AA")).StatusCode);
        Assert.Equal(HttpStatusCode.BadRequest, (await otherBrowser.OverrideAsync(Comments.Name, Off30, token)).StatusCode);
        host.Clock.Advance(ChangeTokens.Lifetime + TimeSpan.FromSeconds(1));
        Assert.Equal(HttpStatusCode.BadRequest, (await mira.OverrideAsync(Comments.Name, Off30, token)).StatusCode);
        Nothing(host);
    }

    [Theory]
    [InlineData("Sec-Fetch-Site", "cross-site")]
    [InlineData("Sec-Fetch-Site", "same-site")]
    [InlineData("Sec-Fetch-Site", "none")]
    [InlineData("Origin", "https://evil.example")]
    [InlineData("Origin", "null")]
    public async Task Override_FromAnotherSite_Refuses(string header, string value)
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        using Visitor mira = host.Visit("mira", "ops");

        using HttpResponseMessage answer = await mira.OverrideAsync(Comments.Name, Off30, await mira.TokenAsync(), request => request.Headers.Add(header, value));

        Assert.Equal(HttpStatusCode.Forbidden, answer.StatusCode);
        Nothing(host);
    }

    [Fact]
    public async Task Override_SameOrigin_Accepts()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        using Visitor mira = host.Visit("mira", "ops");
        string token = await mira.TokenAsync();

        Assert.Equal(HttpStatusCode.NoContent, (await mira.OverrideAsync(Comments.Name, Off30, token, request => request.Headers.Add("Origin", host.Address))).StatusCode);
        Assert.Equal(HttpStatusCode.NoContent, (await mira.OverrideAsync(Comments.Name, Off30, token, request => request.Headers.Add("Sec-Fetch-Site", "same-origin"))).StatusCode);
    }

    [Theory]
    [InlineData("text/plain")]
    [InlineData("application/x-www-form-urlencoded")]
    public async Task Override_ContentThatAFormCanSend_Refuses(string type)
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        using Visitor mira = host.Visit("mira", "ops");

        using HttpResponseMessage answer = await mira.OverrideAsync(Comments.Name, Off30, await mira.TokenAsync(), request => request.Content!.Headers.ContentType = new MediaTypeHeaderValue(type));

        Assert.Equal(HttpStatusCode.UnsupportedMediaType, answer.StatusCode);
        Nothing(host);
    }

    [Fact]
    public async Task AllowAnonymousReadOnly_NoPolicy_ReadsAndChangesNothing()
    {
        await using DashboardHost host = await DashboardHost.StartAsync(app => app.MapResilienceDashboard().AllowAnonymousReadOnly());
        using Visitor anybody = host.Visit();
        using Visitor mira = host.Visit("mira", "ops");

        Assert.Equal(HttpStatusCode.OK, (await anybody.GetAsync("/resilience/state")).StatusCode);
        Assert.Equal(HttpStatusCode.Forbidden, (await anybody.GetAsync("/resilience/token")).StatusCode);
        Assert.Equal(HttpStatusCode.Forbidden, (await mira.GetAsync("/resilience/token")).StatusCode);
        string forged = host.Services.GetRequiredService<ChangeTokens>().Issue(ChangeTokens.NewSession(), "");
        Assert.Equal(HttpStatusCode.Forbidden, (await anybody.OverrideAsync(Comments.Name, Off30, forged)).StatusCode);
        Assert.Equal(HttpStatusCode.Forbidden, (await mira.OverrideAsync(Comments.Name, Off30, forged)).StatusCode);
        Nothing(host);
    }

    [Fact]
    public async Task AllowAnonymousReadOnly_WithPolicy_EverybodyReadsOperatorsSwitch()
    {
        await using DashboardHost host = await DashboardHost.StartAsync(app => app.MapResilienceDashboard().RequireAuthorization("ops").AllowAnonymousReadOnly());
        using Visitor anybody = host.Visit();
        using Visitor mira = host.Visit("mira", "ops");

        Assert.Equal(HttpStatusCode.OK, (await anybody.GetAsync("/resilience/state")).StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, (await anybody.OverrideAsync(Comments.Name, Off30, null)).StatusCode);
        Assert.Equal(HttpStatusCode.NoContent, (await mira.OverrideAsync(Comments.Name, Off30, await mira.TokenAsync())).StatusCode);
    }

    [Fact]
    public async Task RequireAuthorizationToChange_Viewer_ReadsAndChangesNothing()
    {
        await using DashboardHost host = await DashboardHost.StartAsync(app => app.MapResilienceDashboard().RequireAuthorization("viewers").RequireAuthorizationToChange("ops"));
        using Visitor tom = host.Visit("tom");
        using Visitor mira = host.Visit("mira", "ops");

        Assert.Equal(HttpStatusCode.OK, (await tom.GetAsync("/resilience/state")).StatusCode);
        Assert.Equal(HttpStatusCode.Forbidden, (await tom.GetAsync("/resilience/token")).StatusCode);
        Assert.Equal(HttpStatusCode.Forbidden, (await tom.OverrideAsync(Comments.Name, Off30, await mira.TokenAsync())).StatusCode);
        Nothing(host);
    }

    [Fact]
    public async Task Override_AuditCannotBeWritten_DoesLessAndNeverMore()
    {
        await using DashboardHost host = await DashboardHost.StartAsync(add: services => services.AddSingleton<IOverrideAudit, BrokenAudit>());
        using Visitor mira = host.Visit("mira", "ops");
        string token = await mira.TokenAsync();

        Assert.Equal(HttpStatusCode.NoContent, (await mira.OverrideAsync(Comments.Name, Off30, token)).StatusCode);
        using HttpResponseMessage more = await mira.OverrideAsync(Comments.Name, new { state = "Normal", minutes = 30, reason = "is back" }, token);

        Assert.Equal(HttpStatusCode.ServiceUnavailable, more.StatusCode);
        Assert.DoesNotContain("secret", await more.Content.ReadAsStringAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);
        Assert.Equal(FeatureState.Off, host.Services.GetRequiredService<IDegradation>().StateOf(Comments));
    }

    private static void Nothing(DashboardHost host)
    {
        IDegradation degradation = host.Services.GetRequiredService<IDegradation>();
        Assert.Equal(FeatureState.Normal, degradation.StateOf(Comments));
        Assert.Empty(degradation.RecentOverrides);
    }

    private sealed class BrokenAudit : IOverrideAudit
    {
        public ValueTask WriteAsync(OverrideAuditEntry entry, CancellationToken cancellationToken) => throw new IOException("Host=audit;Password=secret");
    }
}
