namespace Resilience.Caching;

/// <summary>What text may be the name of something in a cache.</summary>
internal static class CacheText
{
    /// <summary>The most tags an entry may have.</summary>
    public const int MaxTags = 1024;

    /// <summary>The longest tag and the longest validator, in characters.</summary>
    public const int MaxTagLength = 1024;

    /// <summary>Whether text has a half of a surrogate pair without the other: it has no UTF-8 of its own.</summary>
    public static bool HasLoneSurrogate(string text)
    {
        int at = text.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF');
        if (at < 0)
        {
            return false;
        }

        for (; at < text.Length; at++)
        {
            if (char.IsSurrogate(text[at]))
            {
                if (at + 1 >= text.Length || !char.IsSurrogatePair(text[at], text[at + 1]))
                {
                    return true;
                }

                at++;
            }
        }

        return false;
    }

    /// <summary>Checks the tags of an entry.</summary>
    /// <exception cref="ArgumentException">There are too many, or one cannot be a tag.</exception>
    public static IReadOnlyCollection<string>? CheckTags(IEnumerable<string>? tags)
    {
        IReadOnlyCollection<string>? collected = tags switch
        {
            null => null,
            IReadOnlyCollection<string> collection => collection.Count == 0 ? null : collection,
            _ => [.. tags],
        };
        if (collected is null)
        {
            return null;
        }

        if (collected.Count > MaxTags)
        {
            throw new ArgumentException($"An entry may have {MaxTags} tags; {collected.Count} were given.", nameof(tags));
        }

        foreach (string tag in collected)
        {
            CheckTag(tag, nameof(tags));
            if (tag == Invalidation.Invalidations.NamespaceTag)
            {
                throw new ArgumentException("The tag '*' stands for everything in RemoveByTagAsync and cannot be an entry's own.", nameof(tags));
            }
        }

        return collected.Count == 0 ? null : collected;
    }

    /// <summary>Checks a tag.</summary>
    /// <exception cref="ArgumentException">It cannot be one.</exception>
    public static void CheckTag(string tag, string parameter)
    {
        ArgumentException.ThrowIfNullOrEmpty(tag, parameter);
        if (tag.Length > MaxTagLength || HasLoneSurrogate(tag))
        {
            throw new ArgumentException($"A tag must be valid text of at most {MaxTagLength} characters; this one has {tag.Length}.", parameter);
        }
    }
}
