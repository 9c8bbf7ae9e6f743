using System.Collections.Frozen;

namespace Resilience.Degrade;

/// <summary>A few names, as a rule: then looking at each is quicker than hashing the one that is looked for. Immutable.</summary>
internal sealed class NameList
{
    private const int HashedFrom = 8;

    private readonly string[] _few;
    private readonly FrozenSet<string>? _many;

    private NameList(IList<string> names)
    {
        _few = names.Count < HashedFrom ? [.. names] : [];
        _many = names.Count < HashedFrom ? null : names.ToFrozenSet(StringComparer.Ordinal);
    }

    /// <summary>Makes a list; <see langword="null"/> of no names.</summary>
    public static NameList? Of(IList<string> names) => names.Count == 0 ? null : new NameList(names);

    public bool Contains(string name)
    {
        if (_many is { } many)
        {
            return many.Contains(name);
        }

        foreach (string one in _few)
        {
            if (string.Equals(one, name, StringComparison.Ordinal))
            {
                return true;
            }
        }

        return false;
    }
}
