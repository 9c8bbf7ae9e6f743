using System.Text.Json;
using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace Resilience.Integration.Tests.Dashboard;

/// <summary>What happened in a cache, and one key of it, looked up in headless Chromium.</summary>
[Collection(RunsAlone.Name)]
public sealed class DashboardCacheDialogTests(Browser browser) : IClassFixture<Browser>
{
    private const string Hostile = "user:<img src=x onerror=\"window.harmed=1\">";

    [Fact]
    public async Task Keyboard_Alone_OpensLooksUpAndCloses()
    {
        await using DashboardSite site = await StartAsync();
        await using DashboardPage dashboard = await browser.OpenAsync(site, "mira", "ops");
        IPage page = dashboard.Page;
        await Expect(page.Locator("body.can-change")).ToHaveCountAsync(1);
        site.Tick();

        ILocator opener = page.GetByRole(AriaRole.Button, new() { Name = "cache-01", Exact = true });
        await opener.FocusAsync();
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.Locator("#cache-title")).ToHaveTextAsync("Cache cache-01");
        await Expect(page.Locator("#cache-events li")).ToHaveCountAsync(2);
        await Expect(page.Locator("#cache-events li").First).ToContainTextAsync("a key was removed");
        await Expect(page.Locator("#cache-events li").Nth(1)).ToContainTextAsync("a load failed (TimeoutException)");

        // Something that happens while it is open comes with the next reading.
        await site.Cache("cache-01").RemoveByTagAsync("all", TestContext.Current.CancellationToken);
        site.Tick();
        await Expect(page.Locator("#cache-events li").First).ToContainTextAsync("a tag was invalidated");

        await page.Locator("#cache-key").FocusAsync();
        await page.Keyboard.TypeAsync(Hostile);
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.Locator("#cache-found")).ToContainTextAsync("In the local tier: made");
        await Expect(page.Locator("#cache-found")).ToContainTextAsync("tags vip");
        await Expect(page.Locator("#cache-key-events li")).ToHaveCountAsync(2);
        await Expect(page.Locator("#cache")).Not.ToContainTextAsync("the value");
        await Expect(page.Locator("#cache-hot")).ToBeHiddenAsync();

        await page.Locator("#cache-key").FillAsync("nothing");
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.Locator("#cache-found")).ToHaveTextAsync("Not in the local tier of this process.");

        await page.Keyboard.PressAsync("Escape");
        await Expect(page.Locator("#cache")).ToBeHiddenAsync();
        await Expect(opener).ToBeFocusedAsync();
        Assert.False(await page.EvaluateAsync<bool>("'harmed' in window"));
    }

    /// <summary>The dialog asks for hot keys as it opens; that answer once came after the one to what was asked next, and wiped it away.</summary>
    [Fact]
    public async Task Look_AnswersComeInAnotherOrder_ThatOfTheLastQuestionStays()
    {
        await using DashboardSite site = await StartAsync();
        await using DashboardPage dashboard = await browser.OpenAsync(site, "mira", "ops");
        IPage page = dashboard.Page;
        await Expect(page.Locator("body.can-change")).ToHaveCountAsync(1);
        var held = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        int looks = 0;
        await page.RouteAsync("**/caches/look", async route =>
        {
            if (Interlocked.Increment(ref looks) == 1)
            {
                await held.Task;
            }

            await route.ContinueAsync();
        });
        site.Tick();
        await page.GetByRole(AriaRole.Button, new() { Name = "cache-01", Exact = true }).ClickAsync();
        await page.Locator("#cache-key").FillAsync(Hostile);
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.Locator("#cache-found")).ToContainTextAsync("In the local tier");

        await page.RunAndWaitForResponseAsync(
            () =>
            {
                held.SetResult();
                return Task.CompletedTask;
            },
            static response => response.Url.EndsWith("/caches/look", StringComparison.Ordinal));
        await page.EvaluateAsync("() => fetch('state').then(answer => answer.text())"); // by now the page has taken it in
        await Expect(page.Locator("#cache-found")).ToContainTextAsync("In the local tier");
    }

    [Fact]
    public async Task Viewer_SeesWhatHappenedAndCannotLookUp()
    {
        await using DashboardSite site = await StartAsync();
        await using DashboardPage dashboard = await browser.OpenAsync(site, "tom");
        IPage page = dashboard.Page;
        site.Tick();

        await page.GetByRole(AriaRole.Button, new() { Name = "cache-01", Exact = true }).ClickAsync();
        await Expect(page.Locator("#cache-events li")).ToHaveCountAsync(2);
        await Expect(page.Locator("#cache-key")).ToBeHiddenAsync();
        await Expect(page.Locator("#cache")).Not.ToContainTextAsync("user:");
        int status = await page.EvaluateAsync<int>("""
            async () => (await fetch('caches/look', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ cache: 'cache-01', key: 'x' }) })).status
            """);
        Assert.Equal(403, status);
        await page.Locator("#cache-close").ClickAsync();
        await Expect(page.Locator("#cache")).ToBeHiddenAsync();
    }

    [Fact]
    public async Task KeysMayBeShown_HotAndAlikeAreListedAsText()
    {
        await using DashboardSite site = await StartAsync(showKeys: true);
        await using DashboardPage dashboard = await browser.OpenAsync(site, "mira", "ops");
        IPage page = dashboard.Page;
        await Expect(page.Locator("body.can-change")).ToHaveCountAsync(1);
        site.Tick();

        await page.GetByRole(AriaRole.Button, new() { Name = "cache-01", Exact = true }).ClickAsync();
        await Expect(page.Locator("#cache-hot li").First).ToContainTextAsync(Hostile);
        await page.Locator("#cache-key").FillAsync("user:");
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.Locator("#cache-alike li")).ToHaveCountAsync(1);
        await Expect(page.Locator("#cache-alike li")).ToContainTextAsync(Hostile);
        Assert.Equal(0, await page.Locator("#cache img").CountAsync());
        Assert.False(await page.EvaluateAsync<bool>("'harmed' in window"));
    }

    [Theory]
    [InlineData(1360, ColorScheme.Light)]
    [InlineData(1360, ColorScheme.Dark)]
    [InlineData(390, ColorScheme.Dark)]
    public async Task Dialog_AnyWidthLightAndDark_FitsAndStandsOut(int width, ColorScheme scheme)
    {
        await using DashboardSite site = await StartAsync();
        await using DashboardPage dashboard = await browser.OpenAsync(site, "mira", "ops", width: width, scheme: scheme);
        IPage page = dashboard.Page;
        await Expect(page.Locator("body.can-change")).ToHaveCountAsync(1);
        site.Tick();
        await page.GetByRole(AriaRole.Button, new() { Name = "cache-01", Exact = true }).ClickAsync();
        await page.Locator("#cache-key").FillAsync(Hostile);
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.Locator("#cache-found")).ToContainTextAsync("In the local tier");

        LocatorBoundingBoxResult box = (await page.Locator("#cache").BoundingBoxAsync())!;
        Assert.InRange(box.X + box.Width, 0, width);
        Assert.True(await page.EvaluateAsync<bool>("(dialog => dialog.scrollWidth <= dialog.clientWidth)(document.querySelector('#cache'))"));
        JsonElement? contrasts = await page.EvaluateAsync("""
            () => {
              const luminance = color => {
                const [r, g, b] = color.match(/[\d.]+/g).map(Number).map(part => { const c = part / 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
              };
              const ground = node => { for (let at = node; at; at = at.parentElement) { const color = getComputedStyle(at).backgroundColor; if (!/, 0\)$|transparent/.test(color)) return color; } return 'rgb(255, 255, 255)'; };
              return ['table.caches button.plain', '#cache h2', '#cache h3', '#cache-now', '#cache-events time', '#cache-events span', '#cache-events .bad', '#cache label', '#cache-found', '#cache-close'].map(selector => {
                const node = document.querySelector(selector);
                const [a, b] = [luminance(getComputedStyle(node).color), luminance(ground(node))].sort((x, y) => y - x);
                return { selector, contrast: (a + 0.05) / (b + 0.05) };
              });
            }
            """);
        Assert.All(contrasts!.Value.EnumerateArray(), pair => Assert.True(pair.GetProperty("contrast").GetDouble() >= 4.5, pair.ToString()));
    }

    /// <summary>A cache in which a load has failed and a key was removed and written anew.</summary>
    private static async Task<DashboardSite> StartAsync(bool showKeys = false)
    {
        DashboardSite site = await DashboardSite.StartAsync(add: builder => builder.Configuration["Resilience:Dashboard:ShowKeys"] = showKeys ? "true" : "false");
        var cache = site.Cache("cache-01");
        await Assert.ThrowsAsync<TimeoutException>(async () => await cache.GetOrCreateAsync<string>(Hostile, static _ => throw new TimeoutException()));
        await cache.RemoveAsync(Hostile);
        await cache.SetAsync(Hostile, "the value", tags: ["vip"]);
        for (int i = 0; showKeys && i < 100_000 && cache.Inspector.HotKeys().Count == 0; i++)
        {
            await cache.GetOrCreateAsync(Hostile, static _ => ValueTask.FromResult("")); // about one hit in a thousand is sampled
        }

        return site;
    }
}
