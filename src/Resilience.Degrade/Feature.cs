using Resilience.Context;
using System.Buffers;
using System.Diagnostics.CodeAnalysis;

namespace Resilience.Degrade;

/// <summary>
/// A part of the service that it can do without for a while: a name, how much it matters and what it is when nobody says otherwise.
/// Declare it once, in a static readonly field.
/// </summary>
/// <remarks>
/// Features are process-wide and live as long as the process; declare them from constants, never from input. Immutable and thread-safe.
/// </remarks>
public sealed class Feature
{
    private static readonly SearchValues<char> NameCharacters = SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    private static readonly Lock Declaring = new(); // guards Names and the growth of Declarations
    private static readonly Dictionary<string, Feature> Names = new(StringComparer.OrdinalIgnoreCase);
    private static volatile Feature[] Declarations = [];

    private Feature(int index, string name, Priority priority, FeatureState defaultState, bool securityCritical)
    {
        Index = index;
        Name = name;
        Priority = priority;
        Default = defaultState;
        IsSecurityCritical = securityCritical;
    }

    /// <summary>The features declared so far in this process, in the order of their declaration.</summary>
    public static IReadOnlyList<Feature> All => Declarations;

    /// <summary>The name: the key in the configuration and the tag of metrics. Compared without regard to case.</summary>
    public string Name { get; }

    /// <summary>How much the feature matters; what matters least is switched off first.</summary>
    public Priority Priority { get; }

    /// <summary>The state when neither an override, nor the configuration, nor pressure says otherwise.</summary>
    public FeatureState Default { get; }

    /// <summary>
    /// Whether the feature guards something, such as authentication or fraud checks. Such a feature only fails closed: no fallback ever
    /// answers in its place, and no drill is run on it.
    /// </summary>
    public bool IsSecurityCritical { get; }

    internal int Index { get; }

    internal static Feature[] Declared => Declarations;

    /// <summary>Declares a feature. A second declaration of a name gives the same feature.</summary>
    /// <param name="name">1 to 64 letters, digits, <c>-</c>, <c>_</c> or <c>.</c>; a colon would be a path in the configuration.</param>
    /// <param name="priority">How much it matters; <see cref="Priority.Normal"/> by default.</param>
    /// <param name="defaultState">Its state when nobody says otherwise; <see cref="FeatureState.Normal"/> by default.</param>
    /// <param name="securityCritical">Whether it guards something and may only fail closed; see <see cref="IsSecurityCritical"/>.</param>
    /// <exception cref="ArgumentException">The name is empty, too long or has other characters.</exception>
    /// <exception cref="InvalidOperationException">The name is declared already with another priority, default or kind.</exception>
    public static Feature Declare(string name, Priority priority = Priority.Normal, FeatureState defaultState = FeatureState.Normal, bool securityCritical = false)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (name.Length > 64 || name.AsSpan().ContainsAnyExcept(NameCharacters))
        {
            throw new ArgumentException($"'{name}' is no name for a feature: 1 to 64 letters, digits, '-', '_' or '.' are allowed.", nameof(name));
        }

        lock (Declaring)
        {
            if (Names.TryGetValue(name, out Feature? known))
            {
                return known.Priority == priority && known.Default == defaultState && known.IsSecurityCritical == securityCritical
                    ? known
                    : throw new InvalidOperationException(
                        $"Feature '{name}' is declared twice: as {known.Describe()}, and as {Describe(priority, defaultState, securityCritical)}. Declare it once and share the field.");
            }

            var feature = new Feature(Declarations.Length, name, priority, defaultState, securityCritical);
            Names.Add(name, feature);
            Declarations = [.. Declarations, feature];
            return feature;
        }
    }

    /// <summary>Finds a declared feature by its name, without regard to case.</summary>
    /// <param name="name">The name.</param>
    /// <param name="feature">The feature.</param>
    /// <returns>Whether there is one.</returns>
    public static bool TryGet(string name, [NotNullWhen(true)] out Feature? feature)
    {
        ArgumentNullException.ThrowIfNull(name);
        lock (Declaring)
        {
            return Names.TryGetValue(name, out feature);
        }
    }

    /// <summary>The name.</summary>
    public override string ToString() => Name;

    private string Describe() => Describe(Priority, Default, IsSecurityCritical);

    private static string Describe(Priority priority, FeatureState state, bool securityCritical) =>
        $"{priority} priority, {state} by default{(securityCritical ? ", security critical" : "")}";
}
