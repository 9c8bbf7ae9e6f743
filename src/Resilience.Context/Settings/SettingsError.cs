namespace Resilience.Settings;

/// <summary>One thing that is wrong with the configuration.</summary>
/// <param name="Path">Where: the whole configuration path, such as <c>Resilience:Pools:smtp:MaxSize</c>.</param>
/// <param name="Value">What stands there; <see langword="null"/> when nothing does or when it is a secret.</param>
/// <param name="Problem">What is wrong and what is allowed, such as "must be from 1 to 65536".</param>
public sealed record SettingsError(string Path, string? Value, string Problem)
{
    /// <summary>The error as one line: path, value, what is allowed.</summary>
    public override string ToString() => Value is null ? $"{Path}: {Problem}" : $"{Path} = '{Value}': {Problem}";
}
