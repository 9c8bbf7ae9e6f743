using Resilience.Context;
using Resilience.Settings;

namespace Resilience.Degrade.Tests.Features;

public sealed class ReloadFuzzTests
{
    private static readonly Feature Fuzzed = Feature.Declare("f-fuzzed", Priority.Low);

    private static readonly string[] Keys =
    [
        "Features:f-fuzzed", "Features:f-fuzzed:Mode", "Features:f-fuzzed:Percent", "Features:f-fuzzed:FallbackTimeout", "Features:f-fuzzed:Typo", "MaxAutomaticOff", "Pressure:Memory:Enter",
        "Pressure:Memory:Exit", "Pressure:Signals:x:Enter", "Admission:Bypass:0", "Admission:RetryAfter", "Overrides:SigningKey", "Nonsense", "Features", "Pressure",
    ];

    private static readonly string[] Values = ["", "Off", "On", "Auto", "maybe", "-1", "1e999", "NaN", "99999999999", "00:00:05", "25:61:61", "\0", "{", "true", "0.5", "/x", "x", "AAAA"];

    /// <summary>Ten thousand reloads, most of them malformed, under traffic: what is in force is always the last that was valid, and nothing throws.</summary>
    [Fact]
    public async Task Reload_TenThousandMalformed_KeepsTheLastGoodUnderTraffic()
    {
        const int Reloads = 10_000;
        int seed = Environment.TickCount;
        var random = new Random(seed);
        await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:f-fuzzed"] = "Off" });
        using var done = new CancellationTokenSource();
        long served = 0;
        Task[] traffic = [.. Enumerable.Range(0, 2).Select(_ => Task.Run(async () =>
        {
            while (!done.IsCancellationRequested)
            {
                string answer = await host.Degradation.RunAsync(Fuzzed, _ => new ValueTask<string>("primary"), _ => new ValueTask<string>("fallback"));
                Assert.True(answer is "primary" or "fallback");
                Interlocked.Increment(ref served);
            }
        }))];
        FeatureState expected = FeatureState.Off;
        int accepted = 0;
        for (int i = 0; i < Reloads; i++)
        {
            var candidate = new Dictionary<string, string?>(StringComparer.OrdinalIgnoreCase) { ["Features:f-fuzzed"] = random.Next(3) switch { 0 => "On", 1 => "Off", _ => "Of" } };
            for (int extra = random.Next(4); extra > 0; extra--)
            {
                candidate[Keys[random.Next(Keys.Length)]] = Values[random.Next(Values.Length)];
            }

            host.Reload(candidate);
            (bool valid, FeatureMode mode) = Judge(candidate);
            if (valid)
            {
                accepted++;
                expected = mode == FeatureMode.Off ? FeatureState.Off : mode == FeatureMode.Degraded ? FeatureState.Degraded : FeatureState.Normal;
            }

            Assert.True(expected == host.Degradation.StateOf(Fuzzed), $"seed {seed}, reload {i}: {string.Join(", ", candidate)}");
        }

        await done.CancelAsync();
        await Task.WhenAll(traffic);
        Assert.True(accepted is > 100 and < Reloads, $"{accepted} of {Reloads} were valid");
        Assert.True(served > 0);
    }

    /// <summary>What reading the candidate by itself says: the same reader, with no state before it.</summary>
    private static (bool Valid, FeatureMode Mode) Judge(Dictionary<string, string?> candidate)
    {
        var configuration = new Microsoft.Extensions.Configuration.ConfigurationManager();
        ((Microsoft.Extensions.Configuration.IConfigurationBuilder)configuration).Add(new Microsoft.Extensions.Configuration.Memory.MemoryConfigurationSource
        {
            InitialData = candidate.Select(pair => new KeyValuePair<string, string?>($"R:{pair.Key}", pair.Value)),
        });
        var settings = new DegradeSettings();
        IReadOnlyList<SettingsError> errors = [.. SettingsReader.Read(configuration.GetSection("R"), settings), .. SettingsReader.Check("R", settings)];
        return (errors.Count == 0, settings.Features.TryGetValue("f-fuzzed", out FeatureSettings? feature) ? feature.Mode : FeatureMode.Auto);
    }
}
