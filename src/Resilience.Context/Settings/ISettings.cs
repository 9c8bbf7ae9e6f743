using System.Diagnostics.CodeAnalysis;

namespace Resilience.Settings;

/// <summary>
/// Marks a type of options that is read from configuration by <see cref="SettingsReader"/>: its public properties are the settings,
/// their attributes the limits. Scalars, nested settings, <see cref="SettingsMap{T}"/> and lists of strings are understood.
/// </summary>
[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicProperties)]
public interface ISettings
{
    /// <summary>Checks rules across properties, once each property by itself is within its limits.</summary>
    /// <param name="problems">Where to report; names are those of the properties.</param>
    void Validate(SettingsProblems problems)
    {
    }
}
