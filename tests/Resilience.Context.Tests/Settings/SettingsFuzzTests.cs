using Microsoft.Extensions.Configuration;
using Resilience.Settings;
using Resilience.TestKit;

namespace Resilience.Context.Tests.Settings;

/// <summary>Whatever somebody writes into a configuration: it is read, or every mistake has its path; nothing throws and no secret is told.</summary>
public sealed class SettingsFuzzTests
{
    private const string Secret = "s3cret-word";

    private static readonly string[] Corpus =
    [
        $"MaxSize=7\nMinIdle=2\nJitter=0.25\nTimeout=00:00:01.5\nSizeLimit=64 MiB\nEnabled=false\nDay=friday\nPassword={Secret}\nPeers:0=10.0.0.0/8\nPeers:1=::1\nNested:Level=4\nNamed:a=Full\nNamed:b:Level=2",
        "Timeout=Infinite\nSizeLimit=1.5 GB\nNested=Off",
        "SizeLimit=-1\nMaxSize=-2147483648",

        // Found: more than a decimal holds once the unit is multiplied in.
        "SizeLimit=79228162514264337593543950335 TB",
        "SizeLimit=-79228162514264337593543950335KiB",
    ];

    [Fact]
    public void Read_DamagedConfiguration_IsReadOrHasErrorsWithPaths() => Fuzz.Text(Corpus, static text =>
    {
        IConfigurationSection section = new ConfigurationBuilder().AddInMemoryCollection(Pairs(text)).Build().GetSection("Root:Part");
        var settings = new SampleSettings();

        SettingsError[] errors = [.. SettingsReader.Read(section, settings), .. SettingsReader.Check("Root:Part", settings)];

        Assert.All(errors, static error => Assert.StartsWith("Root:Part", error.Path, StringComparison.Ordinal));
        Assert.DoesNotContain(errors, static error => error.Path.StartsWith("Root:Part:Pass", StringComparison.OrdinalIgnoreCase) && (error.Value?.Contains(Secret, StringComparison.Ordinal) ?? false));
        if (errors.Length == 0)
        {
            Assert.InRange(settings.MaxSize, Math.Max(1, settings.MinIdle), 100);
            Assert.InRange(settings.Jitter, 0, 1);
            Assert.InRange(settings.SizeLimit ?? 1024, 1024, 1L << 40);
            Assert.True(settings.Timeout == Timeout.InfiniteTimeSpan || settings.Timeout > TimeSpan.Zero);
        }
    });

    /// <summary>A property of 32 bits does not hold what one of 64 does; both ends must be refused, not overflow.</summary>
    [Theory]
    [InlineData("-3 GB")]
    [InlineData("-2147483649")]
    [InlineData("2147483648")]
    [InlineData("3 GiB")]
    [InlineData("-79228162514264337593543950335 TB")]
    public void Read_BytesBeyondThirtyTwoBits_IsAnError(string text)
    {
        IConfigurationSection section = new ConfigurationBuilder().AddInMemoryCollection([KeyValuePair.Create("Root:Small", (string?)text)]).Build().GetSection("Root");
        Assert.Equal("Root:Small", Assert.Single(SettingsReader.Read(section, new SmallSettings())).Path);
    }

    private static Dictionary<string, string?> Pairs(string text)
    {
        var pairs = new Dictionary<string, string?>(StringComparer.OrdinalIgnoreCase);
        foreach (string line in text.Split('\n'))
        {
            int equals = line.IndexOf('=', StringComparison.Ordinal);
            pairs[$"Root:Part:{(equals < 0 ? line : line[..equals])}"] = equals < 0 ? null : line[(equals + 1)..];
        }

        return pairs;
    }

    private sealed class SmallSettings : ISettings
    {
        [ByteSize(0, int.MaxValue)]
        public int Small { get; set; }
    }
}
