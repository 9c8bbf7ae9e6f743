namespace Resilience.Settings;

/// <summary>Settings by name, such as features or partitions: every key of the section is a name. Names are compared without regard to case.</summary>
/// <typeparam name="T">The settings of one name.</typeparam>
public sealed class SettingsMap<T> : Dictionary<string, T>, ISettingsMap
    where T : class, ISettings, new()
{
    /// <summary>Makes an empty map.</summary>
    public SettingsMap()
        : base(StringComparer.OrdinalIgnoreCase)
    {
    }

    IEnumerable<string> ISettingsMap.Names => Keys;

    ISettings ISettingsMap.GetOrAdd(string name)
    {
        if (!TryGetValue(name, out T? value))
        {
            Add(name, value = new T());
        }

        return value;
    }
}

/// <summary>What the reader needs to know of a map without its type argument.</summary>
internal interface ISettingsMap
{
    IEnumerable<string> Names { get; }

    ISettings GetOrAdd(string name);
}
