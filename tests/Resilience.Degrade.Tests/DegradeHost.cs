using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Resilience.TestKit;

namespace Resilience.Degrade.Tests;

/// <summary>A host with degradation, settings in memory that can be changed, a manual clock and collected logs.</summary>
internal sealed class DegradeHost : IAsyncDisposable
{
    private readonly IHost _host;
    private readonly MemoryConfiguration _configuration;

    private DegradeHost(IHost host, MemoryConfiguration configuration, ManualTimeProvider time, LogCollector logs)
    {
        _host = host;
        _configuration = configuration;
        Time = time;
        Logs = logs;
    }

    public ManualTimeProvider Time { get; }

    public LogCollector Logs { get; }

    public IServiceProvider Services => _host.Services;

    public IDegradation Degradation => Services.GetRequiredService<IDegradation>();

    public static async Task<DegradeHost> StartAsync(Dictionary<string, string?>? settings = null, Action<IDegradationBuilder>? configure = null, bool samples = true, DateTimeOffset? startAt = null)
    {
        var time = new ManualTimeProvider(startAt);
        var logs = new LogCollector();
        var configuration = new MemoryConfiguration(Paths(settings));
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        ((IConfigurationBuilder)builder.Configuration).Add(configuration);
        builder.Services.AddLogging(logging => logging.SetMinimumLevel(LogLevel.Debug).AddProvider(logs));
        builder.Services.AddSingleton<TimeProvider>(time);
        IDegradationBuilder degradation = builder.Services.AddDegradation();
        configure?.Invoke(degradation);
        if (!samples)
        {
            // The test takes the samples itself.
            builder.Services.Remove(builder.Services.Last(service => service.ServiceType == typeof(IHostedService) && service.ImplementationFactory?.Method.ReturnType == typeof(PressureMonitor)));
        }

        IHost host = builder.Build();
        await host.StartAsync();
        return new DegradeHost(host, configuration, time, logs);
    }

    /// <summary>Replaces the settings below <c>Resilience:Degrade</c> and lets the reload happen.</summary>
    public void Reload(Dictionary<string, string?> settings)
    {
        _configuration.Replace(Paths(settings));
        Time.Advance(TimeSpan.FromMilliseconds(100));
    }

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        _host.Dispose();
        Logs.Dispose();
    }

    private static Dictionary<string, string?> Paths(Dictionary<string, string?>? settings) =>
        (settings ?? []).ToDictionary(pair => $"Resilience:Degrade:{pair.Key}", pair => pair.Value, StringComparer.OrdinalIgnoreCase);

    private sealed class MemoryConfiguration(Dictionary<string, string?> values) : ConfigurationProvider, IConfigurationSource
    {
        public IConfigurationProvider Build(IConfigurationBuilder builder)
        {
            Data = values;
            return this;
        }

        public void Replace(Dictionary<string, string?> next)
        {
            Data = next;
            OnReload();
        }
    }
}
