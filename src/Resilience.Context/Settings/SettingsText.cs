using System.Globalization;

namespace Resilience.Settings;

/// <summary>How values of settings are read from text and written into messages.</summary>
internal static class SettingsText
{
    private static readonly (string Name, long Factor)[] Units =
    [
        ("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("TiB", 1L << 40),
        ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000),
        ("B", 1),
    ];

    public static string? Format(object? value) => value switch
    {
        null => null,
        TimeSpan span when span == Timeout.InfiniteTimeSpan => "Infinite",
        TimeSpan span => span.ToString("c", CultureInfo.InvariantCulture),
        IFormattable formattable => formattable.ToString(null, CultureInfo.InvariantCulture),
        _ => value.ToString(),
    };

    public static string Bytes(long bytes)
    {
        for (int i = 3; i >= 0; i--)
        {
            if (bytes >= Units[i].Factor && bytes % Units[i].Factor == 0)
            {
                return string.Create(CultureInfo.InvariantCulture, $"{bytes / Units[i].Factor} {Units[i].Name}");
            }
        }

        return string.Create(CultureInfo.InvariantCulture, $"{bytes} B");
    }

    /// <summary>Reads a value of a scalar type.</summary>
    /// <returns><see langword="null"/> when it was read; else what is allowed.</returns>
    public static string? TryRead(string text, Type type, bool isByteSize, out object? value)
    {
        text = text.Trim();
        (object? Value, string Allowed) read = type switch
        {
            _ when type == typeof(string) => (text, ""),
            _ when isByteSize => (TryReadBytes(text, type, out object? bytes) ? bytes : null, "must be a number of bytes, such as '1048576', '64 KiB' or '1 GB'"),
            _ when type == typeof(bool) => (bool.TryParse(text, out bool flag) ? flag : null, "must be 'true' or 'false'"),
            _ when type == typeof(int) => (int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number) ? number : null, "must be a whole number"),
            _ when type == typeof(long) => (long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number) ? number : null, "must be a whole number"),
            _ when type == typeof(double) => (double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number) ? number : null, "must be a number, with a point for decimals"),
            _ when type == typeof(TimeSpan) => (TryReadTime(text, out object? time) ? time : null, "must be a time such as '00:00:30', '1.00:00:00' or '00:00:00.250'"),
            _ when type.IsEnum => (ReadEnum(text, type), $"must be one of {string.Join(", ", Enum.GetNames(type).Select(name => $"'{name}'"))}"),
            _ => throw new NotSupportedException($"Settings of type {type} cannot be read from configuration."),
        };
        value = read.Value;
        return value is null ? read.Allowed : null;
    }

    /// <summary>Numbers and lists would be taken by Enum.TryParse; in a configuration file they are mistakes.</summary>
    private static object? ReadEnum(string text, Type type) =>
        Array.Find(Enum.GetNames(type), candidate => string.Equals(candidate, text, StringComparison.OrdinalIgnoreCase)) is { } name ? Enum.Parse(type, name) : null;

    private static bool TryReadTime(string text, out object? value)
    {
        if (string.Equals(text, "Infinite", StringComparison.OrdinalIgnoreCase))
        {
            value = Timeout.InfiniteTimeSpan;
            return true;
        }

        // A bare number would be read as days: nobody who writes "30" means that.
        bool read = text.Contains(':', StringComparison.Ordinal) & TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out TimeSpan span);
        value = span;
        return read;
    }

    private static bool TryReadBytes(string text, Type type, out object? value)
    {
        long factor = 1;
        foreach ((string name, long unit) in Units)
        {
            if (text.EndsWith(name, StringComparison.OrdinalIgnoreCase))
            {
                factor = unit;
                text = text[..^name.Length].TrimEnd();
                break;
            }
        }

        value = null;
        if (!decimal.TryParse(text, NumberStyles.AllowDecimalPoint | NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out decimal number))
        {
            return false;
        }

        // Divided, not multiplied: a decimal near its limit times a unit is more than a decimal holds.
        decimal least = type == typeof(int) ? int.MinValue : long.MinValue;
        decimal most = type == typeof(int) ? int.MaxValue : long.MaxValue;
        if (number > most / factor || number < least / factor)
        {
            return false;
        }

        decimal bytes = number * factor;
        value = type == typeof(int) ? (int)bytes : (object)(long)bytes;
        return true;
    }
}
