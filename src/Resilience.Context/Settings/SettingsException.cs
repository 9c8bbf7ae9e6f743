namespace Resilience.Settings;

/// <summary>Settings are wrong: every error that was found, each with its configuration path, its value and what is allowed.</summary>
public sealed class SettingsException : Exception
{
    /// <summary>Makes the exception from what was found.</summary>
    /// <param name="errors">All errors.</param>
    public SettingsException(IReadOnlyList<SettingsError> errors)
        : base(Describe(errors))
    {
        Errors = errors;
    }

    /// <summary>All errors, in the order in which they were found.</summary>
    public IReadOnlyList<SettingsError> Errors { get; }

    private static string Describe(IReadOnlyList<SettingsError> errors)
    {
        ArgumentNullException.ThrowIfNull(errors);
        string lines = string.Join(Environment.NewLine, errors.Select(error => $"  - {error}"));
        return $"{errors.Count} setting{(errors.Count == 1 ? " is" : "s are")} wrong:{Environment.NewLine}{lines}";
    }
}
