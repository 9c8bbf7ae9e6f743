using System.Net;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Context;
using Resilience.Degrade;

namespace Resilience.AspNetCore.Tests.Dashboard;

/// <summary>What comes from outside and goes into logs stays on one line; what fails inside is told as what it is.</summary>
public sealed class DashboardTextTests
{
    private static readonly Feature Banner = Feature.Declare("dashboard-text-banner", Priority.Low);

    [Theory]
    [InlineData("because\u2028FAKE ENTRY")]
    [InlineData("because\u2029FAKE ENTRY")]
    [InlineData("because\u0085FAKE ENTRY")]
    public async Task Override_ReasonOfSeveralLines_IsRefused(string reason)
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        using Visitor mira = host.Visit("mira", "ops");
        using HttpResponseMessage answer = await mira.OverrideAsync(Banner.Name, new { state = "Off", minutes = 1, reason }, await mira.TokenAsync());
        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.Empty(host.Services.GetRequiredService<IDegradation>().RecentOverrides);
    }

    /// <summary>It throws what a caller who hangs up causes, and nobody has hung up: the operator waits for an answer.</summary>
    [Fact]
    public async Task Override_DoesMoreAndTheAuditRunsOutOfTime_IsToldSo()
    {
        await using DashboardHost host = await DashboardHost.StartAsync(add: static services => services.AddSingleton<IOverrideAudit, SlowAudit>());
        using Visitor mira = host.Visit("mira", "ops");
        string token = await mira.TokenAsync();
        Assert.Equal(HttpStatusCode.NoContent, (await mira.OverrideAsync(Banner.Name, new { state = "Off", minutes = 1, reason = "is down" }, token)).StatusCode);
        using HttpResponseMessage more = await mira.OverrideAsync(Banner.Name, new { state = "Normal", minutes = 1, reason = "is back" }, token);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, more.StatusCode);
        Assert.Contains("Nothing changed", await more.Content.ReadAsStringAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);
    }

    [Fact]
    public void RequestSnapshot_PathWithLineBreaks_StaysOnOneLine()
    {
        var context = new DefaultHttpContext();
        context.Request.Method = "GET";
        context.Request.PathBase = "/shop";
        context.Request.Path = new PathString("/a\r\nFAKE\u2028ENTRY\u0085/\u00fc");
        Assert.Equal("/shop/a??FAKE?ENTRY?/\u00fc", RequestSnapshot.Of(context).Path);
    }

    private sealed class SlowAudit : IOverrideAudit
    {
        public ValueTask WriteAsync(OverrideAuditEntry entry, CancellationToken cancellationToken) => throw new TaskCanceledException("the audit did not answer in time");
    }
}
