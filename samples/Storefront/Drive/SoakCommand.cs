using System.Globalization;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;

namespace Storefront.Drive;

/// <summary>
/// Plays the visitors for a long time while prices change, judges every answer by the history of the prices, and takes the process's vitals
/// at rest before and after. Whoever starts it makes the trouble meanwhile: bench/Resilience.Incidents cuts Redis and PostgreSQL.
/// </summary>
internal static class SoakCommand
{
    /// <summary>Few enough that all of them are in the cache before the vitals are first taken.</summary>
    private const int Products = 5_000;

    private static readonly TimeSpan CapacityLength = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan Between = TimeSpan.FromSeconds(1);

    public static async Task<int> RunAsync(DriveOptions options)
    {
        TimeSpan length = TimeSpan.FromSeconds(options.Seconds ?? 1_200);
        TimeSpan warmUp = TimeSpan.FromTicks(Math.Min(length.Ticks / 4, TimeSpan.FromSeconds(30).Ticks));
        TimeSpan idle = length > TimeSpan.FromMinutes(1) ? TimeSpan.FromSeconds(22) : TimeSpan.FromSeconds(1);
        await using WebApplication app = Shop.Build(options, Products);
        using var interrupted = new CancellationTokenSource();
        using IDisposable handler = app.Lifetime.ApplicationStopping.Register(interrupted.Cancel);
        await app.StartAsync();
        var address = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
        VitalsReader vitals = ActivatorUtilities.CreateInstance<VitalsReader>(app.Services);
        ShopFigures figures = app.Services.GetRequiredService<ShopFigures>();
        var history = new PriceHistory();
        using var driver = new Driver(address, Trace.Zipf(keys: Products), history);

        using var sampler = new Timer(_ => figures.Sample(), null, TimeSpan.Zero, TimeSpan.FromMilliseconds(10));
        await driver.ReadEachAsync(Products, interrupted.Token);
        double rate = options.Rate;
        if (options.Load is { } load)
        {
            double capacity = await driver.MeasureCapacityAsync(CapacityLength, interrupted.Token);
            rate = Math.Max(1, capacity * load);
            Console.WriteLine($"The shop and its visitors do {capacity:n0} a second here; {load:p0} of that is {rate:n0}.");
        }

        await driver.RunAsync(new DriveLoad(rate, null, warmUp), interrupted.Token);
        driver.HangUp();
        history.Settle();
        Console.WriteLine($"rest: {await vitals.RestAsync(idle)}");

        var before = driver.Results.Read();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"soak: begins rate={rate:0} seconds={length.TotalSeconds:0}"));
        Task run = driver.RunAsync(new DriveLoad(rate, null, length), interrupted.Token);
        while (await Task.WhenAny(run, Task.Delay(Between)) != run)
        {
            DriveCounts now = driver.Results.Read();
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"vitals: seconds={driver.Elapsed.TotalSeconds:0} sent={now.Sent - before.Sent} errors={now.Errors - before.Errors} wrong={now.Wrong} {vitals.Read()}"));
        }

        await run;
        driver.HangUp();
        history.Settle();
        Console.WriteLine($"rest: {await vitals.RestAsync(idle)}");
        ServiceFigures final = figures.Read();
        await app.StopAsync();
        if (driver.Results.FirstError is { } error)
        {
            Console.WriteLine($"first error: {error}");
        }

        if (driver.Results.FirstWrong is { } wrong)
        {
            Console.WriteLine($"first wrong answer: {wrong}");
        }

        Console.WriteLine(DriveSummary.Of(driver, final));
        return driver.Results.Wrong == 0 ? 0 : 1;
    }
}
