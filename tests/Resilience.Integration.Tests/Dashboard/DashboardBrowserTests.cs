using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.Playwright;
using Resilience.Context;
using Resilience.Degrade;
using Resilience.Pools;
using static Microsoft.Playwright.Assertions;

namespace Resilience.Integration.Tests.Dashboard;

/// <summary>The dashboard as somebody sees and uses it, in headless Chromium.</summary>
[Collection(RunsAlone.Name)]
public sealed class DashboardBrowserTests(Browser browser) : IClassFixture<Browser>
{
    [Fact]
    public async Task Page_LoadRuns_ShowsLiveFiguresAndWhatIsWrongFirst()
    {
        await using DashboardSite site = await DashboardSite.StartAsync();
        await using DashboardPage dashboard = await browser.OpenAsync(site, "tom");
        IPage page = dashboard.Page;
        await Expect(page.Locator(".calm")).ToBeVisibleAsync();

        for (int i = 0; i < 300; i++)
        {
            await site.Cache("cache-01").GetOrCreateAsync($"key-{i % 3}", static _ => ValueTask.FromResult(1), cancellationToken: TestContext.Current.CancellationToken);
        }

        var leases = new List<PoolLease<object>>();
        for (int i = 0; i < 4; i++)
        {
            leases.Add(await site.Orders.AcquireAsync(TestContext.Current.CancellationToken));
        }

        Task<PoolLease<object>> waiting = site.Orders.AcquireAsync(TestContext.Current.CancellationToken).AsTask();
        try
        {
            site.Tick();

            ILocator cache = page.Locator("table.caches tbody tr").Filter(new() { HasText = "cache-01" });
            await Expect(cache.Locator("td").Nth(1)).ToHaveTextAsync("300");
            await Expect(cache.Locator("td").Nth(2)).ToContainTextAsync("99.0 %");
            ILocator finding = page.Locator(".findings li").First;
            await Expect(finding).ToContainTextAsync("Critical");
            await Expect(finding).ToContainTextAsync("is exhausted: 4/4 leased, 0 idle, 1 waiting");
            await Expect(page.Locator(".pools > li")).ToContainTextAsync("4 / 4 leased");
            await Expect(page).ToHaveTitleAsync(new Regex(@"^\(1\) "));
        }
        finally
        {
            // The pool drains when the site stops, and on a clock that stands it would wait for these for ever.
            foreach (PoolLease<object> lease in leases)
            {
                await lease.DisposeAsync();
            }

            await (await waiting).DisposeAsync();
        }

        site.Tick();
        await Expect(page.Locator(".calm")).ToBeVisibleAsync();
    }

    [Fact]
    public async Task Switch_FlippedInThePage_DegradesOverHttpUntilTimeIsUp()
    {
        await using DashboardSite site = await DashboardSite.StartAsync();
        await using DashboardPage dashboard = await browser.OpenAsync(site, "mira", "ops");
        IPage page = dashboard.Page;
        Assert.Equal("all comments", await CommentsAsync(site));

        await page.GetByRole(AriaRole.Button, new() { Name = "Override site-comments", Exact = true }).ClickAsync();
        await page.GetByLabel("Off", new() { Exact = true }).CheckAsync();
        await page.GetByLabel("For how many minutes").FillAsync("15");
        await page.Locator("#switch button.primary").ClickAsync();
        await Expect(page.Locator("#switch-problem")).ToContainTextAsync("Say why");
        Assert.Equal("all comments", await CommentsAsync(site));

        await page.GetByLabel("Why").FillAsync("<img src=x onerror=\"window.harmed=1\"> vendor is down");
        await dashboard.PictureAsync("dashboard-switch");
        await page.Locator("#switch button.primary").ClickAsync();

        await Expect(page.Locator("#switch")).ToBeHiddenAsync();
        await Expect(dashboard.Row("site-comments").Locator(".pill")).ToHaveTextAsync("Off");
        await Expect(dashboard.Row("site-comments")).ToContainTextAsync("<img src=x onerror=\"window.harmed=1\"> vendor is down (mira)");
        await Expect(dashboard.Row("site-comments")).ToContainTextAsync("15:00 left");
        await Expect(page.Locator("#announce")).ToContainTextAsync("site-comments is Off until");
        await Expect(page.Locator(".audit li").First).ToContainTextAsync("mira: site-comments Off until");
        Assert.Equal("later", await CommentsAsync(site));
        Assert.Equal(0, await page.Locator("main img").CountAsync());
        Assert.False(await page.EvaluateAsync<bool>("'harmed' in window"));

        site.Clock.Advance(TimeSpan.FromMinutes(15));
        Assert.Equal("all comments", await CommentsAsync(site));
        await Expect(dashboard.Row("site-comments").Locator(".pill")).ToHaveTextAsync("Normal");
        await Expect(page.Locator(".audit li").First).ToContainTextAsync("(time is up): site-comments Normal again");
    }

    [Fact]
    public async Task Keyboard_Alone_OverridesAndLifts()
    {
        await using DashboardSite site = await DashboardSite.StartAsync();
        await using DashboardPage dashboard = await browser.OpenAsync(site, "mira", "ops");
        IPage page = dashboard.Page;
        await Expect(page.Locator("body.can-change")).ToHaveCountAsync(1);

        await page.Keyboard.PressAsync("Tab");
        await Expect(page.Locator(".skip")).ToBeFocusedAsync();
        await TabToAsync(page, "#features-filter");
        await page.Keyboard.TypeAsync("site-comments");
        await TabToAsync(page, "table.features tbody button");
        Assert.NotEqual("none", await page.EvaluateAsync<string>("getComputedStyle(document.activeElement).outlineStyle"));
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.Locator("#switch-reason")).ToBeFocusedAsync();
        await page.Keyboard.TypeAsync("a drill");
        await page.Keyboard.PressAsync("Enter");
        await Expect(dashboard.Row("site-comments").Locator(".pill")).ToHaveTextAsync("Off");
        await Expect(page.Locator("table.features tbody button")).ToBeFocusedAsync();

        await page.Keyboard.PressAsync("Enter");
        await page.Keyboard.PressAsync("Escape");
        await Expect(page.Locator("#switch")).ToBeHiddenAsync();
        Assert.Equal(FeatureState.Off, site.Degradation.StateOf(DashboardSite.Comments));

        await page.Keyboard.PressAsync("Enter");
        await page.Keyboard.TypeAsync("the drill is over");
        await TabToAsync(page, "#switch-restore");
        await page.Keyboard.PressAsync("Enter");
        await Expect(dashboard.Row("site-comments").Locator(".pill")).ToHaveTextAsync("Normal");
        Assert.Equal(FeatureState.Normal, site.Degradation.StateOf(DashboardSite.Comments));
    }

    [Fact]
    public async Task Viewer_Unauthorized_SeesNoSwitchAndCanChangeNothing()
    {
        await using DashboardSite site = await DashboardSite.StartAsync();
        await using DashboardPage dashboard = await browser.OpenAsync(site, "tom");
        IPage page = dashboard.Page;
        await Expect(dashboard.Row("site-comments")).ToBeVisibleAsync();
        await Expect(page.Locator("table.features tbody button").First).ToBeHiddenAsync();

        JsonElement? statuses = await page.EvaluateAsync("""
            async () => {
              const post = token => fetch('features/site-comments/override', {
                method: 'POST',
                headers: { 'Content-Type': 'application/json', 'X-Resilience-Token': token },
                body: JSON.stringify({ state: 'Off', minutes: 5, reason: 'just because' }),
              }).then(answer => answer.status);
              return [(await fetch('token')).status, await post(''), await post('x'.repeat(54))];
            }
            """);

        Assert.Equal([403, 403, 403], statuses!.Value.EnumerateArray().Select(status => status.GetInt32()));
        Assert.Empty(site.Degradation.RecentOverrides);
        Assert.Equal("all comments", await CommentsAsync(site));
    }

    [Fact]
    public async Task Page_ThousandFeaturesFiftyCaches_KeepsItsRowsAndFilters()
    {
        for (int i = 0; i < 1_000; i++)
        {
            Feature.Declare($"many-{i:000}", (Priority)(i % 4));
        }

        await using DashboardSite site = await DashboardSite.StartAsync(caches: 50);
        await using DashboardPage dashboard = await browser.OpenAsync(site, "mira", "ops");
        IPage page = dashboard.Page;
        site.Tick();
        ILocator rows = page.Locator("table.features tbody tr");
        await Expect(rows.Filter(new() { HasText = "many-999" })).ToHaveCountAsync(1);
        Assert.True(await rows.CountAsync() >= 1_000);
        await Expect(page.Locator("table.caches tbody tr")).ToHaveCountAsync(50);
        await page.EvaluateAsync("document.querySelectorAll('table.features tbody tr').forEach(row => { row.kept = true; })");

        await site.Degradation.OverrideAsync(Feature.All.Single(feature => feature.Name == "many-777"), FeatureState.Off, "one of many", "mira", TimeSpan.FromMinutes(5), TestContext.Current.CancellationToken);
        site.Tick();
        await Expect(rows.First).ToContainTextAsync("many-777");
        Assert.Equal(0, await page.EvaluateAsync<int>("[...document.querySelectorAll('table.features tbody tr')].filter(row => !row.kept).length"));

        await page.Locator("#features-filter").FillAsync("many-77");
        await Expect(rows).ToHaveCountAsync(10);
        await page.Locator("#caches-filter").FillAsync("cache-4");
        await Expect(page.Locator("table.caches tbody tr")).ToHaveCountAsync(10);
    }

    [Theory]
    [InlineData(1360, 900)]
    [InlineData(390, 844)]
    [InlineData(320, 640)]
    public async Task Page_AnyWidth_NeverScrollsSideways(int width, int height)
    {
        await using DashboardSite site = await DashboardSite.StartAsync();
        await site.Degradation.OverrideAsync(DashboardSite.Comments, FeatureState.Off, "a long reason without an end " + new string('x', 150), "mira", TimeSpan.FromMinutes(5), TestContext.Current.CancellationToken);
        await using DashboardPage dashboard = await browser.OpenAsync(site, "mira", "ops", width, height);
        await Expect(dashboard.Page.Locator("body.can-change")).ToHaveCountAsync(1);
        await Expect(dashboard.Row("site-comments").Locator(".pill")).ToHaveTextAsync("Off");

        Assert.Equal(width, await dashboard.Page.EvaluateAsync<int>("document.documentElement.scrollWidth"));
        if (width == 390)
        {
            await dashboard.Page.GetByRole(AriaRole.Button, new() { Name = "Override site-comments", Exact = true }).ClickAsync();
            LocatorBoundingBoxResult box = (await dashboard.Page.Locator("#switch").BoundingBoxAsync())!;
            Assert.InRange(box.X + box.Width, 0, width);
        }
    }

    [Theory]
    [InlineData(ColorScheme.Light)]
    [InlineData(ColorScheme.Dark)]
    public async Task Page_LightAndDark_TextStandsOut(ColorScheme scheme)
    {
        await using DashboardSite site = await DashboardSite.StartAsync();
        await site.Degradation.OverrideAsync(DashboardSite.Comments, FeatureState.Degraded, "the vendor asked for it", "mira", TimeSpan.FromMinutes(40), TestContext.Current.CancellationToken);
        await using DashboardPage dashboard = await browser.OpenAsync(site, "mira", "ops", scheme: scheme);
        await Expect(dashboard.Row("site-comments").Locator(".pill")).ToHaveTextAsync("Degraded");

        JsonElement? contrasts = await dashboard.Page.EvaluateAsync("""
            () => {
              const luminance = color => {
                const [r, g, b] = color.match(/[\d.]+/g).map(Number).map(part => { const c = part / 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
              };
              const ground = node => { for (let at = node; at; at = at.parentElement) { const color = getComputedStyle(at).backgroundColor; if (!/, 0\)$|transparent/.test(color)) return color; } return 'rgb(255, 255, 255)'; };
              return ['h2', 'table.features td.why', 'table.features .pill', 'td.since', '#connection', '.findings .text', '.findings .severity', 'nav a', '.tools .quiet', 'table.features button', '#glance li:not([hidden]) span', '#glance li:not([hidden]) strong', '#glance li:not([hidden]) small', '#glance [data-tone] span', '#glance [data-tone] strong', '#glance [data-tone] small'].map(selector => {
                const node = document.querySelector(selector);
                const [a, b] = [luminance(getComputedStyle(node).color), luminance(ground(node))].sort((x, y) => y - x);
                return { selector, contrast: (a + 0.05) / (b + 0.05) };
              });
            }
            """);
        Assert.All(contrasts!.Value.EnumerateArray(), pair => Assert.True(pair.GetProperty("contrast").GetDouble() >= 4.5, pair.ToString()));
        double ground = await dashboard.Page.EvaluateAsync<double>("Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])");
        Assert.Equal(scheme == ColorScheme.Dark, ground < 128);
    }

    private static Task<string> CommentsAsync(DashboardSite site) => site.Client.GetStringAsync(new Uri("/comments", UriKind.Relative));

    private static async Task TabToAsync(IPage page, string selector)
    {
        for (int i = 0; i < 60; i++)
        {
            if (await page.EvaluateAsync<bool>($"document.activeElement.matches('{selector}')"))
            {
                return;
            }

            await page.Keyboard.PressAsync("Tab");
        }

        Assert.Fail($"The Tab key does not lead to {selector}.");
    }
}
