using Resilience.Caching.Shared;

namespace Resilience.Caching.Invalidation;

/// <summary>What the node knows of one tag, or of the whole namespace. Entries hold on to it, so that checking a tag is one comparison.</summary>
internal sealed class TagState(string name)
{
    private readonly Lock _lock = new(); // guards the writes of all fields, and _known as a whole
    private long _invalidatedAt;
    private long _removedAt;
    private TagVersion _known;
    private long _knownUntil = long.MinValue;
    private long _firstKnownAt = long.MaxValue;
    private int _pendingRaises;
    private long _distrusts;
    private bool _isUsedBlind;
    private volatile bool _isMissed;

    /// <summary>The tag.</summary>
    public string Name { get; } = name;

    /// <summary>
    /// The number of the tag's last invalidation on this node; entries with a lower stamp are not fresh. <see cref="long.MaxValue"/> once
    /// the state has been dropped from the table: whoever still holds it can no longer be told of anything.
    /// </summary>
    public long InvalidatedAt => Volatile.Read(ref _invalidatedAt);

    /// <summary>The number of the last invalidation that was a removal; entries with a lower stamp are gone, even as stale copies.</summary>
    public long RemovedAt => Volatile.Read(ref _removedAt);

    /// <summary>Whether the entry was used since the table last looked for tags to forget.</summary>
    public bool Used { get; set; } = true;

    /// <summary>The version in the shared tier as far as this node knows.</summary>
    public TagVersion Known
    {
        get
        {
            lock (_lock)
            {
                return _known;
            }
        }
    }

    /// <summary>Whether the known version may be used without reading it again.</summary>
    public bool IsKnown(long now) => now < Volatile.Read(ref _knownUntil);

    /// <summary>Whether an invalidation of this node has not reached the shared tier yet: nothing there can be trusted for this tag.</summary>
    public bool IsRaisePending => Volatile.Read(ref _pendingRaises) > 0 || _isMissed;

    /// <summary>Whether an invalidation of this node missed the shared tier and waits to be made good. Written under the recovery log's lock.</summary>
    public bool IsMissed
    {
        get => _isMissed;
        set => _isMissed = value;
    }

    /// <summary>Invalidates at a new number of the node's count.</summary>
    public void Invalidate(InvalidationCount count, bool isRemoval)
    {
        lock (_lock)
        {
            InvalidateUnderLock(count, isRemoval);
        }
    }

    /// <summary>Invalidates at a number of the node's count.</summary>
    public void Invalidate(long number, bool isRemoval)
    {
        lock (_lock)
        {
            InvalidateUnderLock(number, isRemoval);
        }
    }

    /// <summary>When the node first knew a version; <see cref="long.MaxValue"/> before.</summary>
    public long FirstKnownAt => Volatile.Read(ref _firstKnownAt);

    /// <summary>Notes that a value is made without knowing a version: the first one to become known may be news to it.</summary>
    public void NoteBlindUse() => Volatile.Write(ref _isUsedBlind, true);

    /// <summary>How often the known version was distrusted: to be asked before a version is read.</summary>
    public long Distrusts => Volatile.Read(ref _distrusts);

    /// <summary>Takes in a version read from the shared tier. One that is news is an invalidation on this node.</summary>
    /// <param name="version">The version.</param>
    /// <param name="knownUntil">Until when it may be used.</param>
    /// <param name="distrusts">The <see cref="Distrusts"/> before it was read: with one since then, it may be older than what was missed, and is not to be used.</param>
    /// <param name="count">The node's count.</param>
    /// <param name="now">The cache's clock.</param>
    /// <returns>Whether it may be used.</returns>
    public bool Learn(TagVersion version, long knownUntil, long distrusts, InvalidationCount count, long now)
    {
        lock (_lock)
        {
            bool isFirst = _known.Latest == 0;
            (bool isNews, bool isRemoval) = TakeInUnderLock(version, now);

            // The number is drawn after the version is known: a load that sees the old version is older than the number.
            if (isNews && (!isFirst || Volatile.Read(ref _isUsedBlind)))
            {
                InvalidateUnderLock(count, isRemoval);
            }

            if (_distrusts != distrusts)
            {
                return false;
            }

            Volatile.Write(ref _knownUntil, knownUntil);
            return true;
        }
    }

    /// <summary>
    /// Takes in a version that another node has raised and announced. That is an invalidation even where it was read before it was heard of:
    /// there may be entries that were never compared with it, such as those of this node alone.
    /// </summary>
    /// <param name="version">The version.</param>
    /// <param name="count">The node's count.</param>
    /// <param name="now">The cache's clock.</param>
    public void Hear(TagVersion version, InvalidationCount count, long now)
    {
        lock (_lock)
        {
            (_, bool isRemoval) = TakeInUnderLock(version, now);
            InvalidateUnderLock(count, isRemoval || version.Removed == version.Latest);
        }
    }

    /// <summary>Makes the next use read the version again.</summary>
    public void Distrust()
    {
        lock (_lock)
        {
            _distrusts++;
            Volatile.Write(ref _knownUntil, long.MinValue);
        }
    }

    /// <summary>Notes that an invalidation is under way to the shared tier.</summary>
    public void BeginRaise() => Interlocked.Increment(ref _pendingRaises);

    /// <summary>Notes that it arrived, or that it is known to have missed.</summary>
    public void EndRaise() => Interlocked.Decrement(ref _pendingRaises);

    /// <summary>Takes the state out of use; whoever holds it sees everything of the tag as gone.</summary>
    public void Retire()
    {
        lock (_lock)
        {
            InvalidateUnderLock(long.MaxValue, isRemoval: true);
        }
    }

    private (bool IsNews, bool IsRemoval) TakeInUnderLock(TagVersion version, long now)
    {
        TagVersion before = _known;
        _known = TagVersion.Max(before, version);
        if (before.Latest == 0 && _known != before)
        {
            Volatile.Write(ref _firstKnownAt, now);
        }

        return (_known != before, _known.Removed > before.Removed);
    }

    /// <summary>The number is in place before anybody can see it: a copy that stands in for a load which began at it would slip it.</summary>
    private void InvalidateUnderLock(InvalidationCount count, bool isRemoval)
    {
        long number;
        do
        {
            number = count.Current + 1;
            InvalidateUnderLock(number, isRemoval);
        }
        while (!count.TryTake(number));
    }

    private void InvalidateUnderLock(long number, bool isRemoval)
    {
        Volatile.Write(ref _invalidatedAt, Math.Max(_invalidatedAt, number));
        if (isRemoval)
        {
            Volatile.Write(ref _removedAt, Math.Max(_removedAt, number));
        }
    }
}
