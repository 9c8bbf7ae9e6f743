using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Resilience.Context;
using Worker;

// A shop that confirms orders by mail in the background. Stop it with Ctrl+C or SIGTERM: mails that were accepted are sent or saved.
HostApplicationBuilder builder = Host.CreateApplicationBuilder(args);
builder.Logging.SetMinimumLevel(LogLevel.Warning);
builder.Services.AddSingleton(new Shop(builder.Configuration.GetValue("orders", 40), builder.Configuration.GetValue("sendMs", 20)));

// snippet: queue
builder.Services.AddBackgroundWorkQueue(
    "mail",
    settings => (settings.Workers, settings.Capacity, settings.DrainTimeout, settings.Grace) = (2, 10_000, TimeSpan.FromMilliseconds(200), TimeSpan.FromSeconds(1)),
    onAbandoned: static (services, work) => services.GetRequiredService<Shop>().Save(work));
// end-snippet
builder.Services.AddHostedService<OrderService>();

using IHost host = builder.Build();
await host.StartAsync();
BackgroundWorkQueue queue = host.Services.GetRequiredKeyedService<BackgroundWorkQueue>("mail");
Shop shop = host.Services.GetRequiredService<Shop>();
await host.WaitForShutdownAsync();
Console.WriteLine($"worker: accepted={queue.Accepted} run={queue.Run} abandoned={queue.Abandoned} sent={shop.Sent} saved={shop.Saved}");
