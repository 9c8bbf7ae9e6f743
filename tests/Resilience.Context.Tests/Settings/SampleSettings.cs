using System.ComponentModel.DataAnnotations;
using Resilience.Settings;

namespace Resilience.Context.Tests.Settings;

/// <summary>Settings with one of everything that the reader understands.</summary>
public sealed class SampleSettings : ISettings
{
    [Range(1, 100)]
    public int MaxSize { get; set; } = 20;

    [Range(0, 100)]
    public int MinIdle { get; set; }

    [Range(0.0, 1.0)]
    public double Jitter { get; set; } = 0.1;

    [TimeRange("00:00:00.001", "01:00:00", AllowInfinite = true)]
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(3);

    [ByteSize(1024, 1L << 40)]
    public long? SizeLimit { get; set; }

    public bool Enabled { get; set; } = true;

    public DayOfWeek Day { get; set; }

    [Secret]
    [MinLength(3)]
    public string? Password { get; set; }

    public List<string> Peers { get; } = [];

    public NestedSettings Nested { get; } = new();

    public SettingsMap<NestedSettings> Named { get; } = [];

    public void Validate(SettingsProblems problems)
    {
        if (MinIdle > MaxSize)
        {
            problems.Add(nameof(MinIdle), MinIdle, $"must not be above MaxSize ({MaxSize})");
        }
    }
}

public sealed class NestedSettings : IShorthandSettings
{
    [Range(0, 10)]
    public int Level { get; set; }

    public string? ReadShorthand(string value)
    {
        switch (value)
        {
            case "Off":
                Level = 0;
                return null;
            case "Full":
                Level = 10;
                return null;
            default:
                return "must be 'Off' or 'Full', or a section";
        }
    }
}
