using Microsoft.Extensions.Configuration;
using Resilience.Settings;

namespace Resilience.Hosting.Configuration;

/// <summary>
/// Finds what stands under <c>Resilience</c> and is read by nobody: a block that does not exist, a pool that no code registers. Such a
/// section is a typing mistake, and without this check it would do nothing in silence.
/// </summary>
internal sealed class KitSections(IConfiguration configuration, IEnumerable<SettingsRegistration> registrations) : ISettingsCheck
{
    public const string Root = "Resilience";

    private readonly string[] _paths = [.. registrations.Select(registration => registration.Path).Distinct(StringComparer.OrdinalIgnoreCase)];

    /// <summary>Whether a section's key may name a cache or a limit, whose name is part of keys in Redis.</summary>
    public static bool IsName(string key) => !string.IsNullOrWhiteSpace(key) && key.AsSpan().IndexOfAny(":{}") < 0;

    public IEnumerable<SettingsError> Check() => Check(configuration.GetSection(Root));

    private IEnumerable<SettingsError> Check(IConfigurationSection parent)
    {
        foreach (IConfigurationSection child in parent.GetChildren())
        {
            if (_paths.Contains(child.Path, StringComparer.OrdinalIgnoreCase))
            {
                continue;
            }

            if (Array.Exists(_paths, path => path.StartsWith(child.Path + ":", StringComparison.OrdinalIgnoreCase)))
            {
                foreach (SettingsError error in Check(child))
                {
                    yield return error;
                }
            }
            else
            {
                yield return Unregistered(parent, child);
            }
        }
    }

    private SettingsError Unregistered(IConfigurationSection parent, IConfigurationSection child)
    {
        string prefix = parent.Path + ":";
        string[] known = [.. _paths
            .Where(path => path.StartsWith(prefix, StringComparison.OrdinalIgnoreCase))
            .Select(path => path[prefix.Length..].Split(':')[0])
            .Distinct(StringComparer.OrdinalIgnoreCase)];
        SettingsError error = SettingsReader.Unknown(child, known, mayHoldSecret: true);
        return error with
        {
            Problem = IsName(child.Key)
                ? $"nothing is registered under this name: it {error.Problem}"
                : "is no name: it must not be blank and must have none of '{' and '}'",
        };
    }
}
