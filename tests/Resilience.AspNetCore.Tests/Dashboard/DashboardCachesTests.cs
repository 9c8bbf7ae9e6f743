using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching;

namespace Resilience.AspNetCore.Tests.Dashboard;

/// <summary>What one may learn of a cache through the dashboard, and who.</summary>
public sealed class DashboardCachesTests
{
    private const string Secret = "user:anna@example.org";

    [Fact]
    public async Task Events_ForReaders_SayWhatHappenedAndNeverToWhichKey()
    {
        await using DashboardHost host = await StartAsync();
        using Visitor viewer = host.Visit("tom");

        using HttpResponseMessage answer = await viewer.GetAsync("/resilience/caches/events?cache=users");
        string text = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);

        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.DoesNotContain("anna", text, StringComparison.Ordinal);
        Assert.DoesNotContain("premium", text, StringComparison.Ordinal);
        JsonElement[] events = [.. JsonDocument.Parse(text).RootElement.EnumerateArray()];
        Assert.Equal(["TagInvalidated", "Removed", "LoadFailed"], events.Select(one => one.GetProperty("kind").GetString()));
        Assert.Equal(nameof(TimeoutException), events[2].GetProperty("failure").GetString());
    }

    [Fact]
    public async Task Look_Operator_SeesTheKeyThatWasGivenWithoutItsValueAndNoOther()
    {
        await using DashboardHost host = await StartAsync();
        using Visitor mira = host.Visit("mira", "ops");

        string text = await LookAsync(mira, Secret);
        JsonElement found = JsonDocument.Parse(text).RootElement;

        JsonElement entry = found.GetProperty("entry");
        Assert.Equal((Secret, 7.0, false), (entry.GetProperty("key").GetString(), entry.GetProperty("ageSeconds").GetDouble(), entry.GetProperty("isAbsent").GetBoolean()));
        Assert.Equal(["vip"], entry.GetProperty("tags").EnumerateArray().Select(tag => tag.GetString()));
        Assert.Equal(["Removed", "LoadFailed"], found.GetProperty("events").EnumerateArray().Select(one => one.GetProperty("kind").GetString()));
        Assert.DoesNotContain("the value", text, StringComparison.Ordinal);
        Assert.DoesNotContain("user:anna@example.org:orders", text, StringComparison.Ordinal);
        Assert.Empty(found.GetProperty("hotKeys").EnumerateArray());
        Assert.False(JsonDocument.Parse(await LookAsync(mira, "user:nobody")).RootElement.TryGetProperty("entry", out _));
    }

    [Fact]
    public async Task Look_KeysMayBeShown_ListsThoseThatBeginSo()
    {
        await using DashboardHost host = await StartAsync(showKeys: true);
        using Visitor mira = host.Visit("mira", "ops");

        JsonElement found = JsonDocument.Parse(await LookAsync(mira, Secret)).RootElement;

        Assert.Equal(["user:anna@example.org:orders"], found.GetProperty("alike").EnumerateArray().Select(one => one.GetProperty("key").GetString()));
        Assert.True(found.GetProperty("showsKeys").GetBoolean());
        Assert.Equal("user:hot", found.GetProperty("hotKeys")[0].GetProperty("key").GetString());
    }

    [Fact]
    public async Task Look_WhoMayOnlyRead_IsRefused()
    {
        await using DashboardHost host = await StartAsync(showKeys: true);
        using Visitor viewer = host.Visit("tom");
        using HttpResponseMessage answer = await viewer.PostAsync("/resilience/caches/look", new { cache = "users", key = Secret }, null);
        Assert.Equal(HttpStatusCode.Forbidden, answer.StatusCode);
    }

    [Fact]
    public async Task Look_PageThatEverybodyMayRead_AnswersNobody()
    {
        await using DashboardHost host = await StartAsync(showKeys: true, map: static app => app.MapResilienceDashboard().AllowAnonymousReadOnly());
        using Visitor mira = host.Visit("mira", "ops");
        using HttpResponseMessage events = await mira.GetAsync("/resilience/caches/events?cache=users");
        using HttpResponseMessage look = await mira.PostAsync("/resilience/caches/look", new { cache = "users", key = Secret }, null);
        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.Forbidden), (events.StatusCode, look.StatusCode));
    }

    [Fact]
    public async Task Look_WrongInAnyWay_SaysSo()
    {
        await using DashboardHost host = await StartAsync();
        using Visitor mira = host.Visit("mira", "ops");
        const string Path = "/resilience/caches/look";

        using HttpResponseMessage unknown = await mira.PostAsync(Path, new { cache = "orders", key = "x" }, null);
        using HttpResponseMessage elsewhere = await mira.PostAsync(Path, new { cache = "users", key = "x" }, null, request => request.Headers.Add("Sec-Fetch-Site", "cross-site"));
        using HttpResponseMessage tooLong = await mira.PostAsync(Path, new { cache = "users", key = new string('x', 5_000) }, null);
        using HttpResponseMessage form = await mira.PostAsync(Path, new { }, null, request => request.Content = new StringContent("cache=users"));
        using HttpResponseMessage noCache = await mira.GetAsync("/resilience/caches/events");

        Assert.Equal(
            [HttpStatusCode.NotFound, HttpStatusCode.Forbidden, HttpStatusCode.BadRequest, HttpStatusCode.UnsupportedMediaType, HttpStatusCode.NotFound],
            [unknown.StatusCode, elsewhere.StatusCode, tooLong.StatusCode, form.StatusCode, noCache.StatusCode]);
    }

    /// <summary>A cache with a history: a load failed, the key was removed, written anew seven seconds ago; a tag was invalidated.</summary>
    private static async Task<DashboardHost> StartAsync(bool showKeys = false, Action<WebApplication>? map = null)
    {
        DashboardHost host = await DashboardHost.StartAsync(
            map ?? (static app => app.MapResilienceDashboard().RequireAuthorization("viewers").RequireAuthorizationToChange("ops")),
            services =>
            {
                services.AddResilientCache("users");
                services.Configure<DashboardSettings>(settings => settings.ShowKeys = showKeys);
            });
        ResilientCache cache = host.Services.GetRequiredKeyedService<ResilientCache>("users");
        await Assert.ThrowsAsync<TimeoutException>(async () => await cache.GetOrCreateAsync<string>(Secret, static _ => throw new TimeoutException("anna again")));
        await cache.RemoveAsync(Secret);
        await cache.RemoveByTagAsync("premium");
        await cache.SetAsync(Secret, "the value", tags: ["vip"]);
        await cache.SetAsync(Secret + ":orders", "the value");
        await cache.SetAsync("user:hot", "the value");
        for (int i = 0; showKeys && i < 100_000 && cache.Inspector.HotKeys().Count == 0; i++)
        {
            await cache.GetOrCreateAsync("user:hot", static _ => ValueTask.FromResult("")); // about one hit in a thousand is sampled
        }

        host.Clock.Advance(TimeSpan.FromSeconds(7));
        return host;
    }

    private static async Task<string> LookAsync(Visitor visitor, string key)
    {
        using HttpResponseMessage answer = await visitor.PostAsync("/resilience/caches/look", new { cache = "users", key }, null);
        string text = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.True(answer.IsSuccessStatusCode, text);
        return text;
    }
}
