using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Resilience.Incidents.Incidents.Overload;

/// <summary>The inside of the process of an <see cref="OverloadedService"/>.</summary>
internal static class ServiceHost
{
    public static async Task<int> ServeAsync(Action<IServiceCollection> configure, Action<WebApplication> map)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(static kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        configure(builder.Services);
        await using WebApplication app = builder.Build();
        map(app);
        await app.StartAsync();
        OverloadedService.SayReady(app.Urls.First());
        await ((IHost)app).WaitForShutdownAsync();
        return 0;
    }
}
