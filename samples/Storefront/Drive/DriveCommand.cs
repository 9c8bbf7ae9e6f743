using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;

namespace Storefront.Drive;

/// <summary>Starts the shop on a free port, replays a trace against it, prints what came of it.</summary>
internal static class DriveCommand
{
    public static async Task<int> RunAsync(DriveOptions options)
    {
        int[] trace = options.TraceFile is { } file ? await Trace.ReadAsync(Locate(file)) : Trace.Zipf();
        Console.WriteLine($"Replaying {options.Requests ?? trace.Length:n0} reads of {trace.Distinct().Count():n0} products from {options.TraceFile ?? "a Zipf trace"} at {options.Rate:n0} a second.");

        await using WebApplication app = Shop.Build(options, products: trace.Max() + 1);
        using var interrupted = new CancellationTokenSource();
        using IDisposable handler = app.Lifetime.ApplicationStopping.Register(interrupted.Cancel);
        await app.StartAsync();
        var address = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
        Console.WriteLine($"The shop serves on {address}");

        var figures = app.Services.GetRequiredService<ShopFigures>();
        using var driver = new Driver(address, trace, history: null);
        await driver.WarmUpAsync(interrupted.Token);
        using var sampler = new Timer(_ => figures.Sample(), null, TimeSpan.Zero, TimeSpan.FromMilliseconds(10));
        Task run = driver.RunAsync(new DriveLoad(options.Rate, options.Requests ?? (options.Seconds is null ? trace.Length : null), options.Seconds is { } seconds ? TimeSpan.FromSeconds(seconds) : null), interrupted.Token);
        await new LiveTable(driver, figures.Read).ShowAsync(run);
        await run;
        ServiceFigures final = figures.Read();
        await app.StopAsync();

        if (driver.Results.FirstError is { } error)
        {
            Console.WriteLine($"first error: {error}");
        }

        Console.WriteLine(DriveSummary.Of(driver, final));
        return driver.Results.Errors == 0 ? 0 : 1;
    }

    /// <summary><c>dotnet run --project</c> starts the program in the project's folder; what was typed is relative to the caller's.</summary>
    private static string Locate(string path)
    {
        string? caller = Environment.GetEnvironmentVariable("PWD");
        string fromCaller = caller is null ? path : Path.Combine(caller, path);
        return File.Exists(path) ? path : File.Exists(fromCaller) ? fromCaller : throw new FileNotFoundException($"There is no trace at {path}.");
    }
}
