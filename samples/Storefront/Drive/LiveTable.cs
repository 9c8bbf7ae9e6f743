using System.Globalization;
using Spectre.Console;

namespace Storefront.Drive;

/// <summary>Shows how the run goes: a table that redraws itself on a terminal, a line every few seconds elsewhere.</summary>
internal sealed class LiveTable(Driver driver, Func<ServiceFigures> figures)
{
    private static readonly TimeSpan Redraw = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan Line = TimeSpan.FromSeconds(5);

    public async Task ShowAsync(Task run)
    {
        if (!AnsiConsole.Profile.Out.IsTerminal)
        {
            while (await Task.WhenAny(run, Task.Delay(Line)) != run)
            {
                Console.WriteLine(string.Join("  ", Rows().Select(row => $"{row.Name} {row.Value}")));
            }

            return;
        }

        await AnsiConsole.Live(Draw()).StartAsync(async context =>
        {
            while (await Task.WhenAny(run, Task.Delay(Redraw)) != run)
            {
                context.UpdateTarget(Draw());
            }

            context.UpdateTarget(Draw());
        });
    }

    private Table Draw()
    {
        Table table = new Table().RoundedBorder().AddColumn("Storefront").AddColumn(new TableColumn("").RightAligned());
        foreach ((string name, string value) in Rows())
        {
            table.AddRow(name, value);
        }

        return table;
    }

    private IEnumerable<(string Name, string Value)> Rows()
    {
        DriveResults results = driver.Results;
        ServiceFigures service = figures();
        yield return ("seconds", driver.Elapsed.TotalSeconds.ToString("0", CultureInfo.InvariantCulture));
        yield return ("requests", results.Sent.ToString("n0", CultureInfo.InvariantCulture));
        yield return ("ok", results.Ok.ToString("n0", CultureInfo.InvariantCulture));
        yield return ("errors", results.Errors.ToString("n0", CultureInfo.InvariantCulture));
        yield return ("degraded", results.Degraded.ToString("n0", CultureInfo.InvariantCulture));
        yield return ("orders", results.Orders.ToString("n0", CultureInfo.InvariantCulture));
        yield return ("p50 ms", results.Latency.Percentile(0.50).ToString("0.0", CultureInfo.InvariantCulture));
        yield return ("p99 ms", results.Latency.Percentile(0.99).ToString("0.0", CultureInfo.InvariantCulture));
        yield return ("local hits", service.LocalHits.ToString("n0", CultureInfo.InvariantCulture));
        yield return ("shared hits", service.SharedHits.ToString("n0", CultureInfo.InvariantCulture));
        yield return ("source loads", service.SourceLoads.ToString("n0", CultureInfo.InvariantCulture));
        yield return ("pool", $"{service.PoolInUse} in use, {service.PoolWaiting} waiting");
    }
}
