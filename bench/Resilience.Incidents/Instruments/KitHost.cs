using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Resilience.TestKit;

namespace Resilience.Incidents.Instruments;

/// <summary>A host with the blocks that a service needs, as its Program.cs would make it, keeping what they log.</summary>
internal sealed class KitHost : IAsyncDisposable
{
    private readonly IHost _host;

    private readonly TimedLog _timed;

    private KitHost(IHost host, LogCollector log, TimedLog timed)
    {
        _host = host;
        Log = log;
        _timed = timed;
    }

    public IServiceProvider Services => _host.Services;

    public LogCollector Log { get; }

    /// <summary>What was logged during a load.</summary>
    public IReadOnlyList<LogLine> LogOf(Timeline timeline) => _timed.Since(timeline);

    public static async Task<KitHost> StartAsync(Action<IServiceCollection> configure)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        var log = new LogCollector { MinimumLevel = LogLevel.Information };
        var timed = new TimedLog();
        builder.Services.AddLogging(logging => logging.AddProvider(log).AddProvider(timed));
        builder.Services.AddMetrics();
        configure(builder.Services);
        IHost host = builder.Build();
        await host.StartAsync();
        return new KitHost(host, log, timed);
    }

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        if (_host is IAsyncDisposable disposable)
        {
            await disposable.DisposeAsync();
        }
        else
        {
            _host.Dispose();
        }
    }
}
