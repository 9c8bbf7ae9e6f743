using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Primitives;

namespace Resilience.Degrade;

/// <summary>Makes a section found by its own full path, for settings that are looked up from the root.</summary>
internal sealed class SectionConfiguration(IConfigurationSection section) : IConfiguration
{
    public string? this[string key]
    {
        get => section[key];
        set => section[key] = value;
    }

    public IEnumerable<IConfigurationSection> GetChildren() => [section];

    public IChangeToken GetReloadToken() => section.GetReloadToken();

    public IConfigurationSection GetSection(string key) =>
        string.Equals(key, section.Path, StringComparison.OrdinalIgnoreCase) ? section : section.GetSection(key);
}
