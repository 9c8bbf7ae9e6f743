using System.Collections.Concurrent;
using System.ComponentModel.DataAnnotations;
using System.Reflection;
using Microsoft.Extensions.Configuration;

namespace Resilience.Settings;

/// <summary>
/// Reads a section into a settings object and checks it, and finds every error at once: unknown keys with the nearest known one,
/// values of the wrong kind, values out of range, rules across properties.
/// </summary>
/// <remarks>
/// The platform's binder stops at the first value that it cannot convert and tells neither the range nor the path of what a validator
/// finds later; that is why the kit reads its settings itself. Nothing is clamped: a value that is not allowed is an error.
/// </remarks>
public static class SettingsReader
{
    // Attributes are made anew each time they are asked for, which fifty caches with fifty settings each would be slow to start by.
    private static readonly ConcurrentDictionary<PropertyInfo, ValidationAttribute[]> Limits = new();

    /// <summary>Reads what the section has over what the settings already hold.</summary>
    /// <param name="section">The section; keys it lacks leave the settings as they are.</param>
    /// <param name="settings">Where to write.</param>
    /// <returns>What could not be read: unknown keys and values of the wrong kind.</returns>
    public static IReadOnlyList<SettingsError> Read(IConfigurationSection section, ISettings settings)
    {
        ArgumentNullException.ThrowIfNull(section);
        ArgumentNullException.ThrowIfNull(settings);
        var errors = new List<SettingsError>();
        ReadObject(section, settings, errors);
        return errors;
    }

    /// <summary>Checks the limits of every property, of everything nested, and the rules across properties.</summary>
    /// <param name="path">The configuration path of the settings, for the errors.</param>
    /// <param name="settings">What to check.</param>
    /// <returns>All that is wrong; empty when nothing is.</returns>
    public static IReadOnlyList<SettingsError> Check(string path, ISettings settings)
    {
        ArgumentNullException.ThrowIfNull(path);
        ArgumentNullException.ThrowIfNull(settings);
        var errors = new List<SettingsError>();
        CheckObject(path, settings, errors);
        return errors;
    }

    private static void ReadObject(IConfigurationSection section, ISettings settings, List<SettingsError> errors)
    {
        if (section.Value is { Length: > 0 } text)
        {
            string? allowed = settings is IShorthandSettings shorthand
                ? shorthand.ReadShorthand(text)
                : "must be a section with settings of its own, not a single value";
            if (allowed is not null)
            {
                errors.Add(new SettingsError(section.Path, text, allowed));
            }

            return;
        }

        PropertyInfo[] properties = settings.GetType().GetProperties(BindingFlags.Public | BindingFlags.Instance);
        foreach (IConfigurationSection child in section.GetChildren())
        {
            PropertyInfo? property = Array.Find(properties, candidate => string.Equals(candidate.Name, child.Key, StringComparison.OrdinalIgnoreCase));
            if (property is null)
            {
                bool mayHoldSecret = Array.Exists(properties, candidate => candidate.IsDefined(typeof(SecretAttribute)));
                errors.Add(Unknown(child, properties.Select(candidate => candidate.Name), mayHoldSecret));
            }
            else
            {
                ReadProperty(child, settings, property, errors);
            }
        }
    }

    private static void ReadProperty(IConfigurationSection section, ISettings settings, PropertyInfo property, List<SettingsError> errors)
    {
        switch (SettingsProperty.IsScalar(property) ? null : SettingsProperty.Read(property, settings))
        {
            case ISettings nested:
                ReadObject(section, nested, errors);
                return;
            case ISettingsMap map:
                foreach (IConfigurationSection entry in section.GetChildren())
                {
                    ReadObject(entry, map.GetOrAdd(entry.Key), errors);
                }

                return;
            case IList<string> list:
                ReadList(section, list, errors);
                return;
        }

        if (section.GetChildren().Any())
        {
            errors.Add(new SettingsError(section.Path, null, "must be a single value, not a section"));
            return;
        }

        Type type = Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType;
        if (section.Value is not { Length: > 0 } text)
        {
            if (type == typeof(string) || Nullable.GetUnderlyingType(property.PropertyType) is not null)
            {
                SettingsProperty.Write(property, settings, section.Value is null || type != typeof(string) ? null : "");
            }
            else
            {
                errors.Add(new SettingsError(section.Path, "", "must not be empty"));
            }

            return;
        }

        string? allowed = SettingsText.TryRead(text, type, property.IsDefined(typeof(ByteSizeAttribute)), out object? value);
        if (allowed is null)
        {
            SettingsProperty.Write(property, settings, value);
        }
        else
        {
            string range = property.GetCustomAttribute<RangeAttribute>() is { } limit ? $" from {SettingsText.Format(limit.Minimum)} to {SettingsText.Format(limit.Maximum)}" : "";
            errors.Add(new SettingsError(section.Path, property.IsDefined(typeof(SecretAttribute)) ? null : text, allowed + range));
        }
    }

    private static void ReadList(IConfigurationSection section, IList<string> list, List<SettingsError> errors)
    {
        if (section.Value is { Length: > 0 } single)
        {
            errors.Add(new SettingsError(section.Path, single, "must be a list"));
            return;
        }

        list.Clear();
        foreach (IConfigurationSection item in section.GetChildren())
        {
            if (item.Value is { } value)
            {
                list.Add(value);
            }
            else
            {
                errors.Add(new SettingsError(item.Path, null, "must be a single value, not a section"));
            }
        }
    }

    private static void CheckObject(string path, ISettings settings, List<SettingsError> errors)
    {
        int before = errors.Count;
        foreach (PropertyInfo property in settings.GetType().GetProperties(BindingFlags.Public | BindingFlags.Instance))
        {
            // A getter that nobody needs is a method less to compile when the service starts.
            if (SettingsProperty.IsScalar(property) && LimitsOf(property).Length == 0)
            {
                continue;
            }

            object? value = SettingsProperty.Read(property, settings);
            string propertyPath = $"{path}:{property.Name}";
            switch (value)
            {
                case ISettings nested:
                    CheckObject(propertyPath, nested, errors);
                    break;
                case ISettingsMap map:
                    foreach (string name in map.Names)
                    {
                        CheckObject($"{propertyPath}:{name}", map.GetOrAdd(name), errors);
                    }

                    break;
                default:
                    CheckLimits(propertyPath, property, value, errors);
                    break;
            }
        }

        // Rules across properties would only repeat what their parts already said.
        if (errors.Count == before)
        {
            settings.Validate(new SettingsProblems(path, errors));
        }
    }

    private static void CheckLimits(string path, PropertyInfo property, object? value, List<SettingsError> errors)
    {
        foreach (ValidationAttribute limit in LimitsOf(property))
        {
            if (!limit.IsValid(value))
            {
                string allowed = limit switch
                {
                    RangeAttribute range => $"must be from {SettingsText.Format(range.Minimum)} to {SettingsText.Format(range.Maximum)}",
                    RequiredAttribute => "must be set",
                    TimeRangeAttribute or ByteSizeAttribute => limit.FormatErrorMessage(property.Name),
                    _ => limit.FormatErrorMessage(property.Name),
                };
                errors.Add(new SettingsError(path, property.IsDefined(typeof(SecretAttribute)) ? null : SettingsText.Format(value), allowed));
            }
        }
    }

    private static ValidationAttribute[] LimitsOf(PropertyInfo property) =>
        Limits.GetOrAdd(property, static property => (ValidationAttribute[])property.GetCustomAttributes(typeof(ValidationAttribute), inherit: false));

    /// <summary>The error for a key that is not a setting.</summary>
    /// <param name="section">Where it stands.</param>
    /// <param name="known">The keys that could have been meant.</param>
    /// <param name="mayHoldSecret">Whether the value may be a secret under a mistyped name, and must not be shown.</param>
    public static SettingsError Unknown(IConfigurationSection section, IEnumerable<string> known, bool mayHoldSecret = false)
    {
        ArgumentNullException.ThrowIfNull(section);
        string[] names = [.. known.Order(StringComparer.Ordinal)];
        string? nearest = NearestName.Find(section.Key, names);

        // Nobody knows what it is meant to be: what looks like a connection string or an address with a user may hold a password.
        bool isShown = !mayHoldSecret && section.Value?.AsSpan().ContainsAny('=', '@', ';') != true;
        return new SettingsError(section.Path, isShown ? section.Value : null, nearest is null
            ? $"is not a setting; known here: {string.Join(", ", names)}"
            : $"is not a setting; did you mean '{nearest}'?");
    }
}
