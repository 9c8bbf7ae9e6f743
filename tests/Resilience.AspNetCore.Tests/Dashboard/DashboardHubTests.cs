using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Resilience.AspNetCore.Dashboard;
using Resilience.Context;
using Resilience.Degrade;

namespace Resilience.AspNetCore.Tests.Dashboard;

public sealed class DashboardHubTests
{
    private static readonly Feature Banner = Feature.Declare("dashboard-banner", Priority.Bulk);

    [Fact]
    public async Task Sampling_NobodyWatches_ReadsNothing()
    {
        var panel = new CountingPanel();
        await using DashboardHost host = await DashboardHost.StartAsync(add: services => services.AddSingleton<IDashboardPanel>(panel));
        _ = host.Hub;

        host.Clock.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(0, panel.Reads);

        IDisposable watch = host.Hub.TryWatch()!;
        using (host.Hub.TryWatch()!)
        {
            host.Clock.Advance(TimeSpan.FromSeconds(5));
        }

        Assert.Equal(6, panel.Reads); // one at once and one a second, however many watch
        watch.Dispose();
        watch.Dispose();
        host.Clock.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(6, panel.Reads);
        Assert.Equal(0, host.Hub.Watchers);
    }

    [Fact]
    public async Task Sampling_PanelFails_SaysSoAndReadsTheOthers()
    {
        var panel = new CountingPanel { Failure = new InvalidOperationException("Password=secret") };
        await using DashboardHost host = await DashboardHost.StartAsync(add: services => services.AddSingleton<IDashboardPanel>(panel));

        DashboardSample sample = host.Hub.SampleNow();

        Assert.Equal(["counting: InvalidOperationException"], sample.Snapshot.Unreadable);
        Assert.NotNull(sample.Snapshot.Features);
        Assert.Contains(sample.Snapshot.Findings, finding => finding.Text.Contains("counting", StringComparison.Ordinal));
        Assert.DoesNotContain("secret", JsonSerializer.Serialize(sample.Snapshot), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Events_Page_GetsEverythingOnceAndThenWhatChanges()
    {
        string banner = Banner.Name; // declared before the page asks
        await using DashboardHost host = await DashboardHost.StartAsync();
        using Visitor mira = host.Visit("mira", "ops");
        using HttpResponseMessage answer = await mira.GetAsync("/resilience/events");
        using var events = new StreamReader(await answer.Content.ReadAsStreamAsync(TestContext.Current.CancellationToken));

        Assert.Equal("text/event-stream", answer.Content.Headers.ContentType!.MediaType);
        Assert.Equal("hello", (await NextAsync(events)).Name);
        (string name, JsonElement features) = await NextAsync(events);
        Assert.Equal("features", name);
        HashSet<string?> known = [.. features.GetProperty("features").EnumerateArray().Select(feature => feature.GetProperty("name").GetString())];
        Assert.Contains(banner, known);
        Assert.Equal("audit", (await NextAsync(events)).Name);
        Assert.Equal("figures", (await NextAsync(events)).Name);

        host.Clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal("figures", (await NextOfOursAsync()).Name);

        using HttpResponseMessage change = await mira.OverrideAsync(banner, new { state = "Off", minutes = 5, reason = "<script>alert(1)</script>" }, await mira.TokenAsync());
        Assert.Equal(HttpStatusCode.NoContent, change.StatusCode);
        (name, features) = await NextOfOursAsync();
        Assert.Equal("features", name);
        JsonElement only = Assert.Single(features.GetProperty("features").EnumerateArray(), feature => known.Contains(feature.GetProperty("name").GetString())); // other tests declare features meanwhile
        Assert.Equal(("dashboard-banner", "Off", "Override"), (only.GetProperty("name").GetString(), only.GetProperty("state").GetString(), only.GetProperty("source").GetString()));
        Assert.Equal("audit", (await NextAsync(events)).Name);

        // Other tests declare features meanwhile: a page is told of them too.
        async Task<(string Name, JsonElement Data)> NextOfOursAsync()
        {
            while (true)
            {
                (string Name, JsonElement Data) next = await NextAsync(events);
                if (next.Name != "features" || next.Data.GetProperty("features").EnumerateArray().Any(feature => known.Contains(feature.GetProperty("name").GetString())))
                {
                    return next;
                }
            }
        }
    }

    [Fact]
    public async Task Events_AfterTheTerm_EndSoThatTheBrowserIsAuthorizedAnew()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        using Visitor mira = host.Visit("mira", "ops");
        using HttpResponseMessage answer = await mira.GetAsync("/resilience/events");
        Assert.Equal(1, host.Hub.Watchers);

        host.Clock.Advance(TimeSpan.FromMinutes(10));

        await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        Assert.Equal(0, host.Hub.Watchers);
    }

    [Fact]
    public async Task Events_TooManyWatch_Answers503()
    {
        await using DashboardHost host = await DashboardHost.StartAsync(add: services => services.Configure<DashboardSettings>("", settings => settings.MaxWatchers = 1));
        using Visitor mira = host.Visit("mira", "ops");
        using HttpResponseMessage first = await mira.GetAsync("/resilience/events");

        using HttpResponseMessage second = await mira.GetAsync("/resilience/events");

        Assert.Equal(HttpStatusCode.OK, first.StatusCode);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, second.StatusCode);
    }

    [Fact]
    public async Task State_Asked_AnswersWithoutASampler()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        using Visitor mira = host.Visit("mira", "ops");

        int fewest = Feature.All.Count; // other tests declare features meanwhile
        using HttpResponseMessage answer = await mira.GetAsync("/resilience/state");

        JsonElement state = JsonDocument.Parse(await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)).RootElement;
        Assert.InRange(state.GetProperty("features").GetProperty("all").GetInt32(), fewest, Feature.All.Count);
        Assert.Equal(0, host.Hub.Watchers);
    }

    [Fact]
    public async Task State_AskedByACrowd_IsSampledOncePerInterval()
    {
        var panel = new CountingPanel();
        await using DashboardHost host = await DashboardHost.StartAsync(
            app => app.MapResilienceDashboard().AllowAnonymousReadOnly(),
            services => services.AddSingleton<IDashboardPanel>(panel));
        using Visitor anybody = host.Visit();
        for (int i = 0; i < 20; i++)
        {
            using HttpResponseMessage answer = await anybody.GetAsync("/resilience/state");
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
            host.Hub.TryWatch()!.Dispose(); // a page that comes and goes
        }

        Assert.Equal(1, panel.Reads);

        host.Clock.Advance(TimeSpan.FromSeconds(1));
        using HttpResponseMessage later = await anybody.GetAsync("/resilience/state");
        Assert.Equal(2, panel.Reads);
    }

    [Fact]
    public async Task Override_RequestHasLookedAtItsFeaturesBefore_WatchersSeeTheChangeAtOnce()
    {
        string banner = Banner.Name;
        await using DashboardHost host = await DashboardHost.StartAsync(app =>
        {
            app.Use(async (context, next) =>
            {
                using RequestScope scope = RequestScope.Begin();
                _ = context.RequestServices.GetRequiredService<IDegradation>().Snapshot; // from here on it stays the same for the request
                await next(context);
            });
            app.MapResilienceDashboard().RequireAuthorization("ops");
        });
        using Visitor mira = host.Visit("mira", "ops");
        using IDisposable watch = host.Hub.TryWatch()!;

        using HttpResponseMessage change = await mira.OverrideAsync(banner, new { state = "Off", minutes = 5, reason = "to see it" }, await mira.TokenAsync());

        Assert.Equal(HttpStatusCode.NoContent, change.StatusCode);
        DashboardSample sample = await host.Hub.NextAsync(0, TestContext.Current.CancellationToken);
        Assert.Equal(FeatureState.Off, sample.Features!.Decisions.Single(decision => decision.Feature.Name == banner).State);
        Assert.Equal(1, sample.Snapshot.Features!.Off);
    }

    [Fact]
    public void RateWindow_CounterGrows_IsPerSecondOfTheLastTen()
    {
        var clock = new Resilience.TestKit.ManualTimeProvider();
        var window = new RateWindow(clock);

        Assert.Equal([0], window.PerSecond(1_000));
        for (int second = 1; second <= 30; second++)
        {
            clock.Advance(TimeSpan.FromSeconds(1));
            Assert.Equal([5], window.PerSecond(1_000 + (5 * second)));
        }

        clock.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal([0], window.PerSecond(1_150));
        clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal([0], window.PerSecond(0)); // a counter that began anew
    }

    private static async Task<(string Name, JsonElement Data)> NextAsync(StreamReader events)
    {
        CancellationToken timeout = TestContext.Current.CancellationToken;
        string name = (await events.ReadLineAsync(timeout).AsTask().WaitAsync(TimeSpan.FromSeconds(30), timeout))!;
        string data = (await events.ReadLineAsync(timeout))!;
        Assert.Equal("", await events.ReadLineAsync(timeout));
        return (name["event: ".Length..], JsonDocument.Parse(data["data: ".Length..]).RootElement);
    }

    private sealed class CountingPanel : IDashboardPanel
    {
        public int Reads { get; private set; }

        public Exception? Failure { get; init; }

        public string Area => "counting";

        public DashboardSnapshot Read(DashboardSnapshot snapshot)
        {
            Reads++;
            return Failure is null ? snapshot : throw Failure;
        }
    }
}
