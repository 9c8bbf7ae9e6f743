using System.Text;

namespace Resilience.Context;

/// <summary>
/// Writes and reads the <c>baggage</c> header after the W3C format, for the values whose keys are known. At most
/// <see cref="MaximumMembers"/> members and <see cref="MaximumLength"/> bytes are read or written; what is more is dropped, whole members
/// at a time, before anything is parsed.
/// </summary>
public static class BaggageCodec
{
    /// <summary>The most members that are read or written; 64.</summary>
    public const int MaximumMembers = 64;

    /// <summary>The most characters that are read or written; 8192.</summary>
    public const int MaximumLength = 8192;

    /// <summary>Reads the members whose keys are known and sets them in a scope.</summary>
    /// <param name="header">The header's value; several header lines joined by commas.</param>
    /// <param name="keys">The known keys by name.</param>
    /// <param name="scope">The scope.</param>
    /// <returns>Whether all was well: within the limits, and no known member malformed. What could be read is set either way.</returns>
    /// <exception cref="ScopeEndedException">The scope has ended.</exception>
    public static bool ReadInto(ReadOnlySpan<char> header, IReadOnlyDictionary<string, ScopeKey> keys, RequestScope scope)
    {
        ArgumentNullException.ThrowIfNull(keys);
        ArgumentNullException.ThrowIfNull(scope);
        return Read(header, keys, scope.SetUnchecked);
    }

    /// <summary>The members for the values that may be sent, to follow members that are there already.</summary>
    internal static string? Write(object?[]? items, string? existing = null)
    {
        StringBuilder? text = null;
        int members = string.IsNullOrEmpty(existing) ? 0 : existing.AsSpan().Count(',') + 1;
        int length = existing?.Length ?? 0;
        for (int index = 0; items is not null && index < items.Length; index += 2)
        {
            var key = (ScopeKey)items[index]!;
            if ((key.Flow & ScopeFlow.Propagate) == ScopeFlow.None || key.Write(items[index + 1]) is not { } value)
            {
                continue;
            }

            // Escaping leaves letters, digits and -._~ only: no comma, control character or line break comes through.
            string member = $"{key.Name}={Uri.EscapeDataString(value)}";
            if (members == MaximumMembers || length + 1 + member.Length > MaximumLength)
            {
                continue;
            }

            text ??= new StringBuilder(existing);
            if (text.Length > 0)
            {
                text.Append(',');
            }

            text.Append(member);
            members++;
            length = text.Length;
        }

        return text?.ToString();
    }

    /// <summary>Reads the members whose keys are known.</summary>
    /// <param name="header">The header's value; several header lines joined by commas.</param>
    /// <param name="keys">The known keys by name.</param>
    /// <param name="take">Called for each value that could be read.</param>
    /// <returns>Whether all was well.</returns>
    internal static bool Read(ReadOnlySpan<char> header, IReadOnlyDictionary<string, ScopeKey> keys, Action<ScopeKey, object> take)
    {
        bool isWhole = header.Length <= MaximumLength;
        if (!isWhole)
        {
            int end = header[..MaximumLength].LastIndexOf(',');
            header = end < 0 ? default : header[..end];
        }

        int members = 0;
        foreach (Range range in header.Split(','))
        {
            if (++members > MaximumMembers)
            {
                return false;
            }

            isWhole &= ReadMember(header[range], keys, take);
        }

        return isWhole;
    }

    private static bool ReadMember(ReadOnlySpan<char> member, IReadOnlyDictionary<string, ScopeKey> keys, Action<ScopeKey, object> take)
    {
        int properties = member.IndexOf(';');
        member = properties < 0 ? member : member[..properties];
        int equals = member.IndexOf('=');
        if (equals < 0)
        {
            return member.IsWhiteSpace();
        }

        string name = member[..equals].Trim().ToString();
        if (!keys.TryGetValue(name, out ScopeKey? key))
        {
            return true;
        }

        string value = Uri.UnescapeDataString(member[(equals + 1)..].Trim());
        if (ContainsControl(value) || !key.TryRead(value, out object? read))
        {
            return false;
        }

        take(key, read);
        return true;
    }

    private static bool ContainsControl(string value)
    {
        foreach (char character in value)
        {
            if (char.IsControl(character))
            {
                return true;
            }
        }

        return false;
    }
}
