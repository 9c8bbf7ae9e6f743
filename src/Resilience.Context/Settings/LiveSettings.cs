using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Options;

namespace Resilience.Settings;

/// <summary>
/// The settings of one named block, always valid: <see cref="Current"/> is what was last read without an error, and a reload that
/// brings an error leaves it as it is.
/// </summary>
/// <typeparam name="T">The settings.</typeparam>
/// <remarks>
/// Values come in this order, later ones over earlier: the type's defaults, what code configured, the configuration section.
/// Treat <see cref="Current"/> as immutable. A component reads it once and again on <see cref="OnChange"/>, not on its hot path.
/// Thread-safe.
/// </remarks>
public sealed class LiveSettings<T> : ILiveSettings
    where T : class, ISettings, new()
{
    private readonly Lock _lock = new(); // guards _own, _text, _listeners and the writes of _current and _rejected
    private readonly IConfigurationSection? _section;
    private readonly IConfigurationSection? _fallback;
    private readonly IConfigureOptions<T>[] _configures;
    private readonly List<Action<T>> _listeners = [];
    private volatile T _current;
    private volatile IReadOnlyList<SettingsError> _rejected = [];
    private string _own; // what the own sections said
    private string _text; // that, and what the sections said that are read besides

    internal LiveSettings(string name, string path, IConfigurationSection? section, IConfigurationSection? fallback, IEnumerable<IConfigureOptions<T>> configures)
    {
        Name = name;
        Path = path;
        _section = section;
        _fallback = fallback;
        _configures = [.. configures];
        (_own, _text) = Text();
        (_current, IReadOnlyList<SettingsError> errors) = Build();
        if (errors.Count > 0)
        {
            throw new SettingsException(errors);
        }
    }

    /// <summary>The name of the block: options name, DI key and metric tag at once.</summary>
    public string Name { get; }

    /// <summary>The configuration path, such as <c>Resilience:Pools:smtp</c>.</summary>
    public string Path { get; }

    /// <summary>The settings in force.</summary>
    public T Current => _current;

    /// <inheritdoc/>
    public IReadOnlyList<SettingsError> Rejected => _rejected;

    /// <summary>Settings that come from code alone and never change: for tests and for use without a container.</summary>
    /// <param name="name">The name of the block.</param>
    /// <param name="path">The configuration path for errors.</param>
    /// <param name="settings">The settings.</param>
    /// <exception cref="SettingsException">They are not valid.</exception>
    public static LiveSettings<T> Of(string name, string path, T settings)
    {
        IReadOnlyList<SettingsError> errors = SettingsReader.Check(path, settings);
        return errors.Count > 0 ? throw new SettingsException(errors) : new LiveSettings<T>(name, path, settings);
    }

    private LiveSettings(string name, string path, T settings)
    {
        Name = name;
        Path = path;
        _configures = [];
        _own = _text = "";
        _current = settings;
    }

    /// <summary>Calls back after each change, on the thread that reloads; a listener that throws is logged and does not stop the others.</summary>
    /// <param name="listener">What to call with the new settings.</param>
    /// <returns>Dispose it to be called no more.</returns>
    public IDisposable OnChange(Action<T> listener)
    {
        ArgumentNullException.ThrowIfNull(listener);
        lock (_lock)
        {
            _listeners.Add(listener);
        }

        return new Subscription(this, listener);
    }

    IConfigurationSection? ILiveSettings.Section => _section;

    SettingsReload ILiveSettings.Reload()
    {
        Action<T>[] listeners;
        T value;
        lock (_lock)
        {
            (string own, string text) = Text();
            if (string.Equals(text, _text, StringComparison.Ordinal))
            {
                // Back to what is in force: a rejected edit was taken back.
                bool healed = _rejected.Count > 0;
                _rejected = [];
                return new SettingsReload(healed, [], []);
            }

            if (own.Length == 0 && _own.Length > 0)
            {
                // A file that is being replaced, or cannot be parsed, reads as empty. Nobody switches a service over by deleting all.
                return Reject([new SettingsError(Path, null, "has vanished from the configuration, which is taken for a broken file; restart to run on defaults")]);
            }

            IReadOnlyList<SettingsError> errors;
            try
            {
                (value, errors) = Build();
            }
            catch (Exception exception)
            {
                // Code of the application, which may read what somebody has just mistyped. This runs on a timer, which must go on.
                return Reject([new SettingsError(Path, null, $"cannot be set by code: what was given to Configure has thrown a {exception.GetType().Name}")]);
            }

            if (!string.Equals(Text().All, text, StringComparison.Ordinal))
            {
                // Its file was read anew meanwhile, and what was built may be of neither version. If that brings something, it is told, and read here again.
                return new SettingsReload(false, [], []);
            }

            if (errors.Count > 0)
            {
                return Reject(errors);
            }

            (_own, _text) = (own, text);
            _current = value;
            _rejected = [];
            listeners = [.. _listeners];
        }

        List<Exception>? failures = null;
        foreach (Action<T> listener in listeners)
        {
            try
            {
                listener(value);
            }
            catch (Exception exception)
            {
                (failures ??= []).Add(exception);
            }
        }

        return new SettingsReload(true, [], failures ?? []);
    }

    private SettingsReload Reject(IReadOnlyList<SettingsError> errors)
    {
        bool isNews = !errors.SequenceEqual(_rejected);
        _rejected = errors;
        return new SettingsReload(false, isNews ? errors : [], []);
    }

    private (T Value, IReadOnlyList<SettingsError> Errors) Build()
    {
        var value = new T();
        foreach (IConfigureOptions<T> configure in _configures)
        {
            if (configure is IConfigureNamedOptions<T> named)
            {
                named.Configure(Name, value);
            }
            else if (Name.Length == 0)
            {
                configure.Configure(value);
            }
        }

        if (_fallback is not null)
        {
            // What is wrong there is reported by the block it belongs to.
            SettingsReader.Read(_fallback, value);
        }

        var errors = new List<SettingsError>();
        if (_section is not null)
        {
            errors.AddRange(SettingsReader.Read(_section, value));
        }

        // A value that could not be read left the default behind, which passes; both kinds of error are told at once.
        errors.AddRange(SettingsReader.Check(Path, value).Select(WhereItStands));
        return (value, errors);
    }

    /// <summary>A value that was inherited is wrong where it was written, once, however many inherit it.</summary>
    private SettingsError WhereItStands(SettingsError error)
    {
        string key = error.Path[(Path.Length + 1)..];
        return _section?[key] is null && _fallback?[key] is not null ? error with { Path = $"{_fallback.Path}:{key}" } : error;
    }

    private (string Own, string All) Text()
    {
        string own = Text(_fallback) + Text(_section);
        return (own, string.Concat([own, .. _configures.OfType<IReadsSection>().Select(static step => Text(step.Section))]));
    }

    private static string Text(IConfigurationSection? section)
    {
        if (section is null)
        {
            return "";
        }

        // A loop: as a query over pairs, which are values, it is forty methods to compile at each start of a service.
        var lines = new List<string>();
        foreach (KeyValuePair<string, string?> pair in section.AsEnumerable())
        {
            if (pair.Value is not null)
            {
                lines.Add($"{pair.Key}={pair.Value}");
            }
        }

        lines.Sort(StringComparer.Ordinal);
        return string.Join('\n', lines);
    }

    private sealed class Subscription(LiveSettings<T> owner, Action<T> listener) : IDisposable
    {
        public void Dispose()
        {
            lock (owner._lock)
            {
                owner._listeners.Remove(listener);
            }
        }
    }
}
