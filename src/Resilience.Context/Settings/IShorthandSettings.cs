namespace Resilience.Settings;

/// <summary>Settings that may also be written as one value, such as <c>"comments": "Off"</c> for <c>"comments": { "Mode": "Off" }</c>.</summary>
public interface IShorthandSettings : ISettings
{
    /// <summary>Takes the one value.</summary>
    /// <param name="value">The text in the configuration.</param>
    /// <returns><see langword="null"/> when it was understood; else what is allowed, to end the sentence "must be …".</returns>
    string? ReadShorthand(string value);
}
