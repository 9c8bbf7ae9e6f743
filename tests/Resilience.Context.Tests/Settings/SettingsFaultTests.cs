using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Resilience.Settings;

namespace Resilience.Context.Tests.Settings;

/// <summary>Settings that are made wrong by code, and errors that must not tell too much.</summary>
public sealed class SettingsFaultTests
{
    private readonly IConfigurationRoot _configuration = new ConfigurationBuilder().AddInMemoryCollection().Build();

    /// <summary>It runs on a timer: what it throws would end the process.</summary>
    [Fact]
    public async Task Reload_CodeThatConfiguresThrows_KeepsTheLastAndTellsOnce()
    {
        _configuration["Resilience:A:MaxSize"] = "9";
        _configuration["Mine:MinIdle"] = "2";
        using ServiceProvider services = new ServiceCollection().AddSingleton<IConfiguration>(_configuration)
            .AddLiveSettings<SampleSettings>("A", "Resilience:A")
            .Configure<SampleSettings>("A", settings => settings.MinIdle = int.Parse(_configuration["Mine:MinIdle"]!, System.Globalization.CultureInfo.InvariantCulture))
            .BuildServiceProvider();
        SettingsWatcher watcher = services.GetServices<IHostedService>().OfType<SettingsWatcher>().Single();
        await watcher.StartingAsync(CancellationToken.None);
        LiveSettings<SampleSettings> live = services.GetRequiredKeyedService<LiveSettings<SampleSettings>>("A");
        _configuration["Mine:MinIdle"] = "two";
        _configuration["Resilience:A:MaxSize"] = "10";
        watcher.Reload();
        watcher.Reload();
        Assert.Equal((9, 2), (live.Current.MaxSize, live.Current.MinIdle));
        SettingsError error = Assert.Single(live.Rejected);
        Assert.Equal("Resilience:A", error.Path);
        Assert.Contains("FormatException", error.Problem, StringComparison.Ordinal);
        _configuration["Mine:MinIdle"] = "3";
        watcher.Reload();
        Assert.Equal((10, 3), (live.Current.MaxSize, live.Current.MinIdle));
        Assert.Empty(live.Rejected);
    }

    [Theory]
    [InlineData("Host=db;Password=hunter2")]
    [InlineData("amqp://shop:hunter2@queue")]
    [InlineData("db;hunter2")]
    public void Read_UnknownKeyWithWhatMayHoldAPassword_IsNotShown(string value)
    {
        _configuration["Resilience:A:ConnectionString"] = value;
        _configuration["Resilience:A:Aftr"] = "00:00:07";
        IReadOnlyList<SettingsError> errors = SettingsReader.Read(_configuration.GetSection("Resilience:A"), new LeakSettings());
        Assert.Equal(["Resilience:A:Aftr", "Resilience:A:ConnectionString"], errors.Select(error => error.Path).Order());
        Assert.DoesNotContain(errors, error => error.ToString().Contains("hunter2", StringComparison.Ordinal));
        Assert.Contains(errors, error => error.Value == "00:00:07");
    }
}
