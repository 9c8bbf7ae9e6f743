using Microsoft.Extensions.Configuration;
using Resilience.Settings;

namespace Resilience.Context.Tests.Settings;

public sealed class SettingsReaderTests
{
    [Fact]
    public void Read_EveryKind_ReadsIt()
    {
        SampleSettings settings = Read(out IReadOnlyList<SettingsError> errors,
            ("maxsize", "7"), ("Jitter", "0.25"), ("Timeout", "00:00:01.5"), ("SizeLimit", "64 MiB"), ("Enabled", "false"), ("Day", "friday"),
            ("Password", "s3cret"), ("Peers:0", "10.0.0.0/8"), ("Peers:1", "::1"), ("Nested:Level", "4"), ("Named:a", "Full"), ("Named:b:Level", "2"));

        Assert.Empty(errors);
        Assert.Equal(7, settings.MaxSize);
        Assert.Equal(0.25, settings.Jitter);
        Assert.Equal(TimeSpan.FromSeconds(1.5), settings.Timeout);
        Assert.Equal(64L << 20, settings.SizeLimit);
        Assert.False(settings.Enabled);
        Assert.Equal(DayOfWeek.Friday, settings.Day);
        Assert.Equal("s3cret", settings.Password);
        Assert.Equal(["10.0.0.0/8", "::1"], settings.Peers);
        Assert.Equal(4, settings.Nested.Level);
        Assert.Equal(10, settings.Named["A"].Level);
        Assert.Equal(2, settings.Named["b"].Level);
    }

    [Fact]
    public void Read_KeysThatAreMissing_LeaveTheDefaults()
    {
        SampleSettings settings = Read(out _, ("Jitter", "0.5"));

        Assert.Equal(20, settings.MaxSize);
        Assert.Equal(TimeSpan.FromSeconds(3), settings.Timeout);
    }

    [Theory]
    [InlineData("MaxSize", "many", "must be a whole number from 1 to 100")]
    [InlineData("Jitter", "0,1", "must be a number, with a point for decimals from 0 to 1")]
    [InlineData("Timeout", "30", "must be a time such as '00:00:30', '1.00:00:00' or '00:00:00.250'")]
    [InlineData("SizeLimit", "lots", "must be a number of bytes, such as '1048576', '64 KiB' or '1 GB'")]
    [InlineData("Enabled", "yes", "must be 'true' or 'false'")]
    [InlineData("Day", "5", "must be one of 'Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'")]
    [InlineData("Nested", "Half", "must be 'Off' or 'Full', or a section")]
    [InlineData("Peers", "10.0.0.1", "must be a list")]
    public void Read_ValueOfTheWrongKind_NamesPathValueAndWhatIsAllowed(string key, string value, string allowed)
    {
        Read(out IReadOnlyList<SettingsError> errors, (key, value));

        Assert.Equal([new SettingsError($"Root:Part:{key}", value, allowed)], errors);
    }

    [Fact]
    public void Read_SectionWhereAValueBelongs_IsAnError()
    {
        Read(out IReadOnlyList<SettingsError> errors, ("MaxSize:Value", "3"));

        Assert.Equal("Root:Part:MaxSize: must be a single value, not a section", Assert.Single(errors).ToString());
    }

    [Theory]
    [InlineData("MaxSzie", "did you mean 'MaxSize'?")]
    [InlineData("timeot", "did you mean 'Timeout'?")]
    [InlineData("Colour", "known here: Day, Enabled, Jitter")]
    public void Read_UnknownKey_NamesTheNearest(string key, string hint)
    {
        Read(out IReadOnlyList<SettingsError> errors, (key, "3"));

        SettingsError error = Assert.Single(errors);
        Assert.Equal($"Root:Part:{key}", error.Path);
        Assert.Contains(hint, error.Problem, StringComparison.Ordinal);
    }

    [Fact]
    public void Read_UnknownKeyBesideASecret_DoesNotShowTheValue()
    {
        Read(out IReadOnlyList<SettingsError> errors, ("Pasword", "hunter2"));

        Assert.DoesNotContain("hunter2", Assert.Single(errors).ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Check_EverythingOutOfRange_ReportsAllWithPaths()
    {
        var settings = new SampleSettings { MaxSize = 0, Jitter = 1.5, Timeout = TimeSpan.FromHours(2), SizeLimit = 10, Password = "ab" };
        settings.Nested.Level = 11;
        settings.Named["x"] = new NestedSettings { Level = -1 };

        string[] errors = [.. SettingsReader.Check("P", settings).Select(error => error.ToString())];

        Assert.Equal(7, errors.Length);
        Assert.Contains("P:MaxSize = '0': must be from 1 to 100", errors);
        Assert.Contains("P:Jitter = '1.5': must be from 0 to 1", errors);
        Assert.Contains("P:Timeout = '02:00:00': must be a time from 00:00:00.0010000 to 01:00:00, or Infinite", errors);
        Assert.Contains("P:SizeLimit = '10': must be a size from 1 KiB to 1 TiB", errors);
        Assert.Contains("P:Nested:Level = '11': must be from 0 to 10", errors);
        Assert.Contains("P:Named:x:Level = '-1': must be from 0 to 10", errors);
        Assert.DoesNotContain(errors, error => error.Contains("ab'", StringComparison.Ordinal));
    }

    [Fact]
    public void Check_RuleAcrossProperties_IsReportedWithItsPath()
    {
        SettingsError error = Assert.Single(SettingsReader.Check("P", new SampleSettings { MinIdle = 30 }));

        Assert.Equal("P:MinIdle = '30': must not be above MaxSize (20)", error.ToString());
    }

    [Fact]
    public void Check_InfiniteWhereItIsAllowed_Passes() =>
        Assert.Empty(SettingsReader.Check("P", new SampleSettings { Timeout = Timeout.InfiniteTimeSpan }));

    private static SampleSettings Read(out IReadOnlyList<SettingsError> errors, params (string Key, string Value)[] values)
    {
        var settings = new SampleSettings();
        IConfigurationRoot root = new ConfigurationBuilder().AddInMemoryCollection(
            values.Select(pair => KeyValuePair.Create($"Root:Part:{pair.Key}", (string?)pair.Value))).Build();
        errors = SettingsReader.Read(root.GetSection("Root:Part"), settings);
        return settings;
    }
}
