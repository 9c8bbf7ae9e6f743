using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Resilience.Pools;

HostApplicationBuilder builder = Host.CreateApplicationBuilder(args);
builder.Logging.SetMinimumLevel(LogLevel.Error);
// snippet: register
builder.Services.AddResourcePool<Printer>("printers", static (_, token) => Printer.ConnectAsync(token))
    .Configure(static options =>
    {
        options.MaxSize = 2;
        options.AcquireTimeout = TimeSpan.FromSeconds(2);
    });
// end-snippet
using IHost host = builder.Build();
await host.StartAsync();
var pool = host.Services.GetRequiredKeyedService<ResourcePool<Printer>>("printers");

// snippet: run
await Task.WhenAll(Enumerable.Range(1, 8).Select(page =>
    pool.RunAsync(static (printer, page, token) => printer.PrintAsync(page, token), page).AsTask()));
// end-snippet
Console.WriteLine($"8 pages over {pool.Snapshot().Created} printers");

// snippet: exhaust
PoolLease<Printer> kept = await pool.AcquireAsync(new PoolRequest { Tag = "banner" });
PoolLease<Printer> forgotten = await pool.AcquireAsync(new PoolRequest { Tag = "forgotten" });
try
{
    using PoolLease<Printer> third = await pool.AcquireAsync();
}
catch (PoolExhaustedException exception)
{
    Console.WriteLine($"exhausted: {exception.Size}/{exception.MaxSize}, held by {string.Join(" and ", exception.Holders.Select(holder => holder.Tag).Order())}");
}
// end-snippet
kept.Dispose();
kept.Dispose();
Console.WriteLine($"a second return is counted, not obeyed: {pool.Snapshot().StaleReturns}");
forgotten.Dispose();
await host.StopAsync();
Console.WriteLine($"drained, {Printer.Connected} printers connected");

internal sealed class Printer : IDisposable
{
    private static int s_connected;
    public static int Connected => s_connected;

    public static async ValueTask<Printer> ConnectAsync(CancellationToken token)
    {
        await Task.Delay(20, token);
        Interlocked.Increment(ref s_connected);
        return new Printer();
    }

    public async Task PrintAsync(int page, CancellationToken token) => await Task.Delay(5 + page, token);
    public void Dispose() => Interlocked.Decrement(ref s_connected);
}
