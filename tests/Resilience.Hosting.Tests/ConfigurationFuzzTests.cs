using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Resilience.Context;
using Resilience.Degrade;
using Resilience.Pools;
using Resilience.Settings;
using Resilience.TestKit;

namespace Resilience.Hosting.Tests;

/// <summary>Whatever stands in appsettings.json below "Resilience": the host starts, or it says which settings are wrong, all with their paths. No other exception, no hang.</summary>
public sealed class ConfigurationFuzzTests
{
    private static readonly Feature Comments = Feature.Declare("fuzz-comments", Priority.Low);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private static readonly string[] Corpus =
    [
        """
        { "Resilience": {
          "Context": { "DefaultTimeout": "00:00:10", "MaxInboundTimeout": "00:01:00", "TrustedPeers": ["10.0.0.0/8"], "Leak": { "After": "00:01:00", "HardExpiry": "00:10:00" } },
          "Caches": { "Default": { "Expiration": "00:30:00", "LocalExpiration": "00:10:00", "Jitter": 0.1, "StaleFor": "02:00:00", "LoadTimeout": "00:00:05" },
                      "products": { "Local": { "SizeLimit": "64 MiB" } } },
          "Pools": { "things": { "MaxSize": 20, "MinIdle": 5, "AcquireTimeout": "00:00:03", "RateLimit": { "PermitsPerSecond": 100, "Burst": 20 } } },
          "Degrade": { "Features": { "fuzz-comments": { "Mode": "Auto", "Priority": "Low" } }, "Pressure": { "Memory": { "Enter": 0.8, "Exit": 0.7 } } }
        } }
        """,
        """{ "Resilience": { "Caches": { "Default": { "MaxConcurrentLoads": 8, "EagerRefresh": 0.7, "SoftTimeout": "00:00:00.020" } }, "Degrade": { "Features": { "fuzz-comments": "Off" } } } }""",
        """{ "Resilience": null }""",
    ];

    [Fact]
    public void Start_DamagedConfiguration_StartsOrNamesWhatIsWrong() => Fuzz.Text(Corpus, static text => StartAsync(text).WaitAsync(Patience).GetAwaiter().GetResult(), cases: 400);

    private static async Task StartAsync(string json)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { Args = [] });
        try
        {
            builder.Configuration.AddJsonStream(new MemoryStream(Encoding.UTF8.GetBytes(json)));
        }
        catch (Exception exception) when (exception is FormatException or JsonException or InvalidDataException)
        {
            return; // the platform's reader has refused the file as a whole
        }

        builder.AddResilienceKit(static kit => kit
            .AddPool("things", static _ => new ResourceFactory<object>(static _ => new ValueTask<object>(new object())))
            .AddFeature(Comments));
        using IHost host = builder.Build();
        try
        {
            await host.StartAsync();
            await host.StopAsync();
        }
        catch (SettingsException exception)
        {
            Assert.NotEmpty(exception.Errors);
            Assert.All(exception.Errors, static error => Assert.StartsWith("Resilience", error.Path, StringComparison.OrdinalIgnoreCase));
        }
    }
}
