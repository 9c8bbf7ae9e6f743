using System.ComponentModel.DataAnnotations;
using System.Globalization;

namespace Resilience.Settings;

/// <summary>The span of time that a setting may take, both ends included.</summary>
/// <param name="minimum">The least, as <c>[d.]hh:mm:ss[.fff]</c>.</param>
/// <param name="maximum">The most.</param>
[AttributeUsage(AttributeTargets.Property)]
public sealed class TimeRangeAttribute(string minimum, string maximum) : ValidationAttribute
{
    /// <summary>The least.</summary>
    public TimeSpan Minimum { get; } = TimeSpan.Parse(minimum, CultureInfo.InvariantCulture);

    /// <summary>The most.</summary>
    public TimeSpan Maximum { get; } = TimeSpan.Parse(maximum, CultureInfo.InvariantCulture);

    /// <summary>Whether <see cref="Timeout.InfiniteTimeSpan"/> is allowed too; written as <c>-00:00:00.001</c> or <c>Infinite</c>.</summary>
    public bool AllowInfinite { get; init; }

    /// <inheritdoc/>
    public override bool IsValid(object? value) =>
        value is not TimeSpan span || (span >= Minimum && span <= Maximum) || (AllowInfinite && span == Timeout.InfiniteTimeSpan);

    /// <inheritdoc/>
    public override string FormatErrorMessage(string name) =>
        $"must be a time from {Minimum:c} to {Maximum:c}{(AllowInfinite ? ", or Infinite" : "")}";
}

/// <summary>Says that a number is a count of bytes, which may be written with a unit: <c>65536</c>, <c>64 KiB</c>, <c>1.5 GB</c>.</summary>
/// <param name="minimum">The least, in bytes.</param>
/// <param name="maximum">The most, in bytes.</param>
[AttributeUsage(AttributeTargets.Property)]
public sealed class ByteSizeAttribute(long minimum, long maximum) : ValidationAttribute
{
    /// <summary>The least, in bytes.</summary>
    public long Minimum { get; } = minimum;

    /// <summary>The most, in bytes.</summary>
    public long Maximum { get; } = maximum;

    /// <inheritdoc/>
    public override bool IsValid(object? value) =>
        value is null || (Convert.ToInt64(value, CultureInfo.InvariantCulture) is long bytes && bytes >= Minimum && bytes <= Maximum);

    /// <inheritdoc/>
    public override string FormatErrorMessage(string name) =>
        $"must be a size from {SettingsText.Bytes(Minimum)} to {SettingsText.Bytes(Maximum)}";
}

/// <summary>Says that a setting is a secret, such as a connection string: its value never stands in an error or a log.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class SecretAttribute : Attribute;
