using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Resilience.Settings;

namespace Resilience.Context.Tests.Settings;

public sealed class LiveSettingsTests
{
    private readonly IConfigurationRoot _configuration = new ConfigurationBuilder().AddInMemoryCollection().Build();

    [Fact]
    public async Task Start_SeveralBlocksWrong_ThrowsOnceWithEveryError()
    {
        _configuration["Resilience:A:MaxSize"] = "0";
        _configuration["Resilience:A:Expiraton"] = "x";
        _configuration["Resilience:B:Jitter"] = "9";
        using ServiceProvider services = Services("A", "B");

        SettingsException exception = await Assert.ThrowsAsync<SettingsException>(() => StartAsync(services));

        Assert.Equal(["Resilience:A:Expiraton", "Resilience:A:MaxSize", "Resilience:B:Jitter"], exception.Errors.Select(error => error.Path).Order());
        Assert.StartsWith("3 settings are wrong:", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Current_CodeAndConfiguration_ConfigurationWins()
    {
        _configuration["Resilience:A:MaxSize"] = "9";
        using ServiceProvider services = Services(["A"], collection => collection.Configure<SampleSettings>("A", settings => (settings.MaxSize, settings.MinIdle) = (5, 2)));
        await StartAsync(services);

        SampleSettings current = Live(services, "A").Current;

        Assert.Equal((9, 2), (current.MaxSize, current.MinIdle));
    }

    [Fact]
    public void Current_FallbackSection_HoldsWhereTheOwnSaysNothing()
    {
        _configuration["Resilience:Default:MaxSize"] = "9";
        _configuration["Resilience:Default:Jitter"] = "0.3";
        _configuration["Resilience:A:Jitter"] = "0.2";
        using ServiceProvider services = new ServiceCollection().AddSingleton<IConfiguration>(_configuration)
            .AddLiveSettings<SampleSettings>("A", "Resilience:A", "Resilience:Default").BuildServiceProvider();

        SampleSettings current = Live(services, "A").Current;

        Assert.Equal((9, 0.2), (current.MaxSize, current.Jitter));
    }

    [Fact]
    public async Task Reload_ValidChange_TakesEffectAndTellsListeners()
    {
        _configuration["Resilience:A:MaxSize"] = "9";
        using ServiceProvider services = Services("A");
        SettingsWatcher watcher = await StartAsync(services);
        List<int> seen = [];
        using IDisposable subscription = Live(services, "A").OnChange(settings => seen.Add(settings.MaxSize));

        _configuration["Resilience:A:MaxSize"] = "10";
        watcher.Reload();
        watcher.Reload();

        Assert.Equal(10, Live(services, "A").Current.MaxSize);
        Assert.Equal([10], seen);
    }

    [Fact]
    public async Task Reload_InvalidChange_KeepsTheLastGoodAndHealsWhenItIsTakenBack()
    {
        _configuration["Resilience:A:MaxSize"] = "9";
        using ServiceProvider services = Services("A");
        SettingsWatcher watcher = await StartAsync(services);
        LiveSettings<SampleSettings> live = Live(services, "A");

        _configuration["Resilience:A:MaxSize"] = "1000";
        watcher.Reload();
        Assert.Equal(9, live.Current.MaxSize);
        Assert.Equal("Resilience:A:MaxSize", Assert.Single(live.Rejected).Path);

        _configuration["Resilience:A:MaxSize"] = "9";
        watcher.Reload();
        Assert.Empty(live.Rejected);
        Assert.Equal(9, live.Current.MaxSize);
    }

    [Fact]
    public async Task Reload_SectionVanished_IsTakenForABrokenFile()
    {
        _configuration["Resilience:A:MaxSize"] = "9";
        using ServiceProvider services = Services("A");
        SettingsWatcher watcher = await StartAsync(services);

        _configuration["Resilience:A:MaxSize"] = null;
        watcher.Reload();

        Assert.Equal(9, Live(services, "A").Current.MaxSize);
        Assert.Contains("vanished", Assert.Single(Live(services, "A").Rejected).Problem, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Reload_ConfigurationEmptiesWhileItIsRead_TheLastGoodStays()
    {
        Action meanwhile = static () => { };
        _configuration["Resilience:A:MaxSize"] = "9";
        using ServiceProvider services = Services(["A"], collection => collection.Configure<SampleSettings>("A", _ => meanwhile()));
        SettingsWatcher watcher = await StartAsync(services);
        LiveSettings<SampleSettings> live = Live(services, "A");

        _configuration["Resilience:A:MaxSize"] = "10";
        meanwhile = () => _configuration["Resilience:A:MaxSize"] = null; // as a file reads that is just being written
        watcher.Reload();
        Assert.Equal(9, live.Current.MaxSize);
        Assert.Empty(live.Rejected);

        meanwhile = static () => { };
        _configuration["Resilience:A:MaxSize"] = "10";
        watcher.Reload();
        Assert.Equal(10, live.Current.MaxSize);
    }

    [Fact]
    public async Task Reload_ListenerThrows_OthersAreStillTold()
    {
        using ServiceProvider services = Services("A");
        SettingsWatcher watcher = await StartAsync(services);
        bool told = false;
        using IDisposable first = Live(services, "A").OnChange(_ => throw new InvalidOperationException("broken listener"));
        using IDisposable second = Live(services, "A").OnChange(_ => told = true);

        _configuration["Resilience:A:MaxSize"] = "10";
        watcher.Reload();

        Assert.True(told);
    }

    [Fact]
    public async Task Reload_FileIsMalformedForAWhile_LastGoodStaysThenTheRepairTakesEffect()
    {
        string path = Path.Combine(Directory.CreateTempSubdirectory("settings-").FullName, "appsettings.json");
        await File.WriteAllTextAsync(path, """{ "Resilience": { "A": { "MaxSize": 9 } } }""");
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { Args = [] });
        builder.Configuration.AddJsonFile(path, optional: false, reloadOnChange: false);
        builder.Services.AddLiveSettings<SampleSettings>("A", "Resilience:A");
        using IHost host = builder.Build();
        await host.StartAsync();
        LiveSettings<SampleSettings> live = Live(host.Services, "A");
        var changed = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        using IDisposable subscription = live.OnChange(settings => changed.TrySetResult(settings.MaxSize));
        IConfigurationRoot root = builder.Configuration;

        await File.WriteAllTextAsync(path, "{ \"Resilience\": { ");
        Assert.Throws<InvalidDataException>(root.Reload);
        Assert.Equal(9, live.Current.MaxSize);

        await File.WriteAllTextAsync(path, """{ "Resilience": { "A": { "MaxSize": 11 } } }""");
        root.Reload();

        Assert.Equal(11, await changed.Task.WaitAsync(TimeSpan.FromSeconds(30)));
        await host.StopAsync();
    }

    [Fact]
    public void AddLiveSettings_TwiceForAName_IsOneBlockAndKeepsTheFirst()
    {
        var services = new ServiceCollection();
        services.AddLiveSettings<SampleSettings>("A", "Resilience:A").AddLiveSettings<SampleSettings>("A", "Elsewhere").AddLiveSettings<SampleSettings>("B", "Resilience:B");
        using ServiceProvider provider = services.BuildServiceProvider();

        Assert.Equal(["Resilience:A", "Resilience:B"], provider.GetServices<SettingsRegistration>().Select(registration => registration.Path));
        Assert.Equal("Resilience:A", Live(provider, "A").Path);
    }

    private ServiceProvider Services(params string[] names) => Services(names, _ => { });

    private ServiceProvider Services(string[] names, Action<IServiceCollection> configure)
    {
        var services = new ServiceCollection();
        services.AddSingleton<IConfiguration>(_configuration);
        configure(services);
        foreach (string name in names)
        {
            services.AddLiveSettings<SampleSettings>(name, $"Resilience:{name}").AddLiveSettings<SampleSettings>(name, $"Resilience:{name}");
        }

        return services.BuildServiceProvider();
    }

    private static LiveSettings<SampleSettings> Live(IServiceProvider services, string name) => services.GetRequiredKeyedService<LiveSettings<SampleSettings>>(name);

    private static async Task<SettingsWatcher> StartAsync(IServiceProvider services)
    {
        SettingsWatcher watcher = Assert.Single(services.GetServices<IHostedService>().OfType<SettingsWatcher>());
        await watcher.StartingAsync(TestContext.Current.CancellationToken);
        return watcher;
    }
}
