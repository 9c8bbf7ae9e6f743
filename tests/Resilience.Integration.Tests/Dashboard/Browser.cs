using Microsoft.Playwright;
using Resilience.TestKit;

namespace Resilience.Integration.Tests.Dashboard;

/// <summary>One headless Chromium for the tests of a class.</summary>
public sealed class Browser : IAsyncLifetime
{
    private static readonly string[] Names = ["chromium", "chromium-browser", "google-chrome"];
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);
    private IPlaywright? _playwright;
    private IBrowser? _browser;

    /// <summary>The distribution's Chromium (<c>CHROMIUM</c> overrides), or <see langword="null"/>.</summary>
    private static string? ExecutablePath { get; } = Environment.GetEnvironmentVariable("CHROMIUM")
        ?? Names.Select(name => Path.Combine("/usr/bin", name)).FirstOrDefault(File.Exists);

    public async ValueTask InitializeAsync()
    {
        if (ExecutablePath is null)
        {
            return;
        }

        // For a machine that does something else too: what is awaited comes, or the test has found something.
        Assertions.SetDefaultExpectTimeout((float)Patience.TotalMilliseconds);
        _playwright = await Playwright.CreateAsync();
        _browser = await _playwright.Chromium.LaunchAsync(new BrowserTypeLaunchOptions
        {
            ExecutablePath = ExecutablePath,
            Timeout = (float)Patience.TotalMilliseconds,
            Args =
            [
                "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
            ],
        });
    }

    /// <summary>Opens the dashboard as a user and waits until figures have come. Whatever the page complains of is an error of the test.</summary>
    public async Task<DashboardPage> OpenAsync(DashboardSite site, string? user, string? role = null, int width = 1360, int height = 900, ColorScheme scheme = ColorScheme.Light)
    {
        ServerAvailability.Require(_browser, "Chromium", "chromium");
        var headers = new Dictionary<string, string>(StringComparer.Ordinal);
        if (user is not null)
        {
            headers.Add("X-User", user);
        }

        if (role is not null)
        {
            headers.Add("X-Role", role);
        }

        IBrowserContext context = await _browser.NewContextAsync(new BrowserNewContextOptions
        {
            ViewportSize = new ViewportSize { Width = width, Height = height },
            ColorScheme = scheme,
            ExtraHTTPHeaders = headers,
            ReducedMotion = ReducedMotion.Reduce,
        });
        IPage page = await context.NewPageAsync();
        page.SetDefaultTimeout((float)Patience.TotalMilliseconds);
        page.SetDefaultNavigationTimeout((float)Patience.TotalMilliseconds);
        var opened = new DashboardPage(page, site);
        await page.GotoAsync(site.Address + "/resilience");
        await UntilLiveAsync(page.Locator("#connection"), site);
        return opened;
    }

    /// <summary>On a clock that stands no figures follow the first ones: a page that is looked at late has missed them for so long that it says so.</summary>
    private static Task UntilLiveAsync(ILocator connection, DashboardSite site) => Eventually.TrueAsync(
        async () =>
        {
            string? state = await connection.TextContentAsync();
            if (state?.StartsWith("No figures", StringComparison.Ordinal) == true)
            {
                site.Tick();
            }

            return state == "Live";
        },
        "the page is live",
        Patience);

    public async ValueTask DisposeAsync()
    {
        if (_browser is not null)
        {
            await _browser.DisposeAsync();
        }

        _playwright?.Dispose();
    }
}

/// <summary>The dashboard in a tab.</summary>
public sealed class DashboardPage : IAsyncDisposable
{
    private readonly List<string> _complaints = [];

    internal DashboardPage(IPage page, DashboardSite site)
    {
        Page = page;
        Site = site;
        page.PageError += (_, error) => _complaints.Add(error);
        page.Console += (_, message) =>
        {
            // A refusal of the token is how the page finds out that it has no switches; the browser writes each one down.
            if (message.Type == "error" && !message.Text.Contains("403", StringComparison.Ordinal) && !message.Text.Contains("401", StringComparison.Ordinal))
            {
                _complaints.Add(message.Text);
            }
        };
    }

    public IPage Page { get; }

    public DashboardSite Site { get; }

    public ILocator Row(string feature) => Page.Locator("table.features tbody tr").Filter(new() { HasText = feature });

    /// <summary>Takes a picture for the documentation when the environment asks for it.</summary>
    public async Task PictureAsync(string name)
    {
        if (Environment.GetEnvironmentVariable("RESILIENCE_PICTURES") is { Length: > 0 } folder)
        {
            await Page.ScreenshotAsync(new PageScreenshotOptions { Path = Path.Combine(folder, name + ".png") });
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Page.Context.CloseAsync();
        Assert.Empty(_complaints);
    }
}
