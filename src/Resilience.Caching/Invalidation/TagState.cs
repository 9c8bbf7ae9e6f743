namespace Resilience.Caching.Invalidation;

/// <summary>What the node knows of one tag. Entries hold on to it, so that checking a tag is one comparison.</summary>
internal sealed class TagState(string name)
{
    private long _invalidatedAt;

    /// <summary>The tag.</summary>
    public string Name { get; } = name;

    /// <summary>
    /// The number of the tag's last invalidation on this node; entries with a lower stamp are hidden. <see cref="long.MaxValue"/> once
    /// the state has been dropped from the table: whoever still holds it can no longer be told of anything.
    /// </summary>
    public long InvalidatedAt
    {
        get => Volatile.Read(ref _invalidatedAt);
        set => Volatile.Write(ref _invalidatedAt, value);
    }
}
