using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace Resilience.Integration.Tests.Dashboard;

/// <summary>What somebody sees who opens the page in a bad quarter of an hour.</summary>
[Collection(RunsAlone.Name)]
public sealed class DashboardAtAGlanceTests(Browser browser) : IClassFixture<Browser>
{
    [Fact]
    public async Task Page_BadQuarterOfAnHour_SaysWhatIsWrongThenHowThingsStandThenTheRest()
    {
        await using BusyShop shop = await BusyShop.StartAsync();
        await using DashboardPage dashboard = await browser.OpenAsync(shop.Site, "mira", "ops", width: 1360, height: 1100);
        await shop.LiveAsync();
        IPage page = dashboard.Page;

        await Expect(page.Locator(".findings")).ToContainTextAsync("is exhausted: 4/4 leased");
        await Expect(page.Locator(".findings")).ToContainTextAsync("place order");
        await Expect(page.Locator(".findings")).ToContainTextAsync("does without its shared tier");
        await Expect(Tile(page, "Fullest pool")).ToContainTextAsync("4/4");
        await Expect(Tile(page, "Fullest pool")).ToContainTextAsync("orders");
        await Expect(Tile(page, "Fullest pool")).ToHaveAttributeAsync("data-tone", "bad");
        await Expect(Tile(page, "Pressure")).ToContainTextAsync("High");
        await Expect(Tile(page, "Features")).ToContainTextAsync("lowered");
        await Expect(Tile(page, "Requests")).ToContainTextAsync("/s");
        await Expect(Tile(page, "Local hits")).ToContainTextAsync("%");
        await Expect(page.Locator("table.caches tbody tr").Filter(new() { HasText = "reviews" })).ToContainTextAsync("stale first");
        Assert.True(await page.Locator("#pressure-plot polyline").CountAsync() >= 3);
        Assert.True(await page.EvaluateAsync<bool>("document.querySelector('#findings').getBoundingClientRect().top < document.querySelector('#glance').getBoundingClientRect().top"));
        Assert.Equal(0, await page.EvaluateAsync<int>("[...document.querySelectorAll('#glance strong')].filter(figure => figure.scrollWidth > figure.parentElement.clientWidth).length"));
        await dashboard.PictureAsync("dashboard-light");

        // What happened in the cache that does without its shared tier, and one key of it.
        await page.GetByRole(AriaRole.Button, new() { Name = "products", Exact = true }).ClickAsync();
        await Expect(page.Locator("#cache-events")).ToContainTextAsync("the shared tier was lost");
        await Expect(page.Locator("#cache-now")).ToContainTextAsync("shared tier");
        await page.Locator("#cache-key").FillAsync("key-3");
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.Locator("#cache-found")).ToContainTextAsync("In the local tier: made");
        await dashboard.PictureAsync("dashboard-cache");
        await page.Keyboard.PressAsync("Escape");

        await using DashboardPage dark = await browser.OpenAsync(shop.Site, "mira", "ops", width: 1360, height: 1100, scheme: ColorScheme.Dark);
        shop.Site.Tick();
        await Expect(Tile(dark.Page, "Fullest pool")).ToContainTextAsync("4/4");
        await dark.PictureAsync("dashboard-dark");

        await using DashboardPage phone = await browser.OpenAsync(shop.Site, "mira", "ops", width: 390, height: 844);
        shop.Site.Tick();
        await Expect(Tile(phone.Page, "Fullest pool")).ToContainTextAsync("4/4");
        Assert.True(await phone.Page.EvaluateAsync<bool>("document.documentElement.scrollWidth <= document.documentElement.clientWidth"));
        await phone.PictureAsync("dashboard-phone");
    }

    [Fact]
    public async Task Tile_Clicked_LeadsToItsSection()
    {
        await using DashboardSite site = await DashboardSite.StartAsync();
        await using DashboardPage dashboard = await browser.OpenAsync(site, "tom", height: 500);
        await Tile(dashboard.Page, "Live scopes").Locator("a").ClickAsync();

        await Expect(dashboard.Page).ToHaveURLAsync(new System.Text.RegularExpressions.Regex("#scopes$"));
        await Expect(dashboard.Page.Locator("#scopes-title")).ToBeInViewportAsync();
    }

    private static ILocator Tile(IPage page, string label) => page.Locator("#glance li").Filter(new() { HasText = label });
}
