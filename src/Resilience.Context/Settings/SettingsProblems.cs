namespace Resilience.Settings;

/// <summary>Collects what is wrong with one settings object, each with the path at which it stands.</summary>
public sealed class SettingsProblems
{
    private readonly List<SettingsError> _errors;

    internal SettingsProblems(string path, List<SettingsError> errors)
    {
        Path = path;
        _errors = errors;
    }

    /// <summary>The configuration path of the object that is checked.</summary>
    public string Path { get; }

    /// <summary>Reports a property.</summary>
    /// <param name="property">Its name, or a path below this object such as <c>Local:SizeLimit</c>.</param>
    /// <param name="value">What it is; formatted invariantly.</param>
    /// <param name="problem">What is wrong and what is allowed, such as "must not be above MaxSize (20)".</param>
    public void Add(string property, object? value, string problem) =>
        _errors.Add(new SettingsError($"{Path}:{property}", SettingsText.Format(value), problem));
}
