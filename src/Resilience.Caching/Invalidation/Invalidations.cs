using Resilience.Caching.Local;

namespace Resilience.Caching.Invalidation;

/// <summary>How an entry stands against the invalidations that the node knows of.</summary>
internal enum Standing
{
    /// <summary>Nothing is held against it.</summary>
    Good,

    /// <summary>An invalidation may have been missed: compare it with the shared tier before it is used as fresh.</summary>
    Suspect,

    /// <summary>It was expired on purpose: a stale copy.</summary>
    Expired,

    /// <summary>It was removed: not even a stale copy.</summary>
    Gone,
}

/// <summary>The node's invalidations of tags and of the whole namespace. Those of single keys are exact, under the key's stripe.</summary>
internal sealed class Invalidations
{
    /// <summary>The name under which the namespace has its version, which no tag of a user can have.</summary>
    public const string NamespaceTag = "*";

    private readonly Lock _distrusting = new(); // guards the writes of _distrustedAt, so that it never falls
    private long _distrustedAt;

    public Invalidations(int maxTags)
    {
        Tags = new TagTable(maxTags, Count);
    }

    /// <summary>The count.</summary>
    public InvalidationCount Count { get; } = new();

    /// <summary>The whole namespace, as though it were a tag of every entry.</summary>
    public TagState Namespace { get; } = new(NamespaceTag);

    /// <summary>The tags.</summary>
    public TagTable Tags { get; }

    /// <summary>Whether nothing at all is held against an entry: the one question of the hot path.</summary>
    public bool IsGood(LocalEntry entry)
    {
        long stamp = entry.Stamp;
        if (stamp < Namespace.InvalidatedAt || stamp < Volatile.Read(ref _distrustedAt))
        {
            return false;
        }

        return entry.Tags is null || AreGood(entry.Tags, stamp);
    }

    /// <summary>How an entry stands.</summary>
    public Standing Judge(LocalEntry entry)
    {
        long stamp = entry.Stamp;
        Standing standing = Judge(Namespace, stamp);
        foreach (TagState tag in entry.Tags ?? [])
        {
            standing = (Standing)Math.Max((int)standing, (int)Judge(tag, stamp));
        }

        return standing == Standing.Good && stamp < Volatile.Read(ref _distrustedAt) ? Standing.Suspect : standing;
    }

    /// <summary>Whether a value of a load that began at a number, with these tags, is younger than every invalidation.</summary>
    public bool IsCurrent(long start, TagState[]? tags) =>
        start >= Namespace.InvalidatedAt && start >= Volatile.Read(ref _distrustedAt) && (tags is null || AreGood(tags, start));

    /// <summary>Makes every entry of the node be compared with the shared tier before it is used again.</summary>
    public void Distrust()
    {
        // First the versions: what begins at the new number is not to be judged by one from before.
        Namespace.Distrust();
        foreach (TagState tag in Tags.States)
        {
            tag.Distrust();
        }

        lock (_distrusting)
        {
            long number;
            do
            {
                number = Count.Current + 1;
                Volatile.Write(ref _distrustedAt, number); // in place before it can be seen, as with tags
            }
            while (!Count.TryTake(number));
        }
    }

    /// <summary>The states of tags; <see langword="null"/> for none.</summary>
    public TagState[]? Resolve(IReadOnlyCollection<string>? tags)
    {
        if (tags is null || tags.Count == 0)
        {
            return null;
        }

        var states = new TagState[tags.Count];
        int i = 0;
        foreach (string tag in tags)
        {
            states[i++] = Tags.Get(tag);
        }

        return states;
    }

    private static bool AreGood(TagState[] tags, long stamp)
    {
        foreach (TagState tag in tags)
        {
            if (tag.InvalidatedAt > stamp)
            {
                return false;
            }
        }

        return true;
    }

    private static Standing Judge(TagState tag, long stamp) =>
        stamp < tag.RemovedAt ? Standing.Gone : stamp < tag.InvalidatedAt ? Standing.Expired : Standing.Good;
}
