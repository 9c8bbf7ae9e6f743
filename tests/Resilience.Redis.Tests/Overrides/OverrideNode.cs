using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Resilience.Degrade;
using Resilience.TestKit;

namespace Resilience.Redis.Tests.Overrides;

/// <summary>One node: a host with features whose overrides are in Redis.</summary>
internal sealed class OverrideNode : IAsyncDisposable
{
    public static readonly byte[] Key = [.. Enumerable.Range(1, 32).Select(i => (byte)i)];

    private readonly IHost _host;

    private OverrideNode(IHost host, LogCollector logs)
    {
        _host = host;
        Logs = logs;
    }

    public LogCollector Logs { get; }

    public IDegradation Degradation => _host.Services.GetRequiredService<IDegradation>();

    public static async Task<OverrideNode> StartAsync(string endpoint, string prefix, string? lastKnownGood = null, string? key = null)
    {
        var logs = new LogCollector();
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["Resilience:Redis:Configuration"] = endpoint,
            ["Resilience:Redis:KeyPrefix"] = prefix,
            ["Resilience:Redis:ConnectTimeout"] = "00:00:00.500",
            ["Resilience:Degrade:Overrides:SigningKey"] = key ?? Convert.ToBase64String(Key),
        });
        builder.Services.AddLogging(logging => logging.SetMinimumLevel(LogLevel.Debug).AddProvider(logs));
        builder.Services.AddDegradation().AddRedisOverrides(lastKnownGood);
        IHost host = builder.Build();
        await host.StartAsync();
        return new OverrideNode(host, logs);
    }

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        _host.Dispose();
    }
}
