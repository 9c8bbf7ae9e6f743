using Resilience.Caching.Invalidation;

namespace Resilience.Caching.Shared;

/// <summary>A change that did not reach the shared tier.</summary>
/// <param name="Kind">What it was.</param>
/// <param name="Value">The value of a write, envelope and frame; else <see langword="null"/>.</param>
/// <param name="TimeToLive">How long the tier was to keep it.</param>
/// <param name="Order">Which of several changes of a key is the newest.</param>
internal sealed record MissedChange(MissedKind Kind, byte[]? Value, TimeSpan TimeToLive, long Order)
{
    /// <summary>How often it failed on replay. Touched by the replay alone.</summary>
    public int Attempts { get; set; }
}

/// <summary>A tag whose raise did not reach the shared tier.</summary>
/// <param name="Tag">The tag; nothing in the shared tier is believed for it until the raise is made good.</param>
/// <param name="IsRemoval">Whether one of the missed raises was a removal.</param>
/// <param name="Order">Which of several raises is the newest.</param>
internal sealed record MissedTag(TagState Tag, bool IsRemoval, long Order)
{
    /// <summary>How often it failed on replay. Touched by the replay alone.</summary>
    public int Attempts { get; set; }
}

/// <summary>What is to be made good at one moment.</summary>
/// <param name="Keys">The newest change per key.</param>
/// <param name="Tags">The tags.</param>
/// <param name="Overflow">The number of the latest change for which there was no room; 0 when there was room for all.</param>
internal sealed record MissedChanges(KeyValuePair<string, MissedChange>[] Keys, MissedTag[] Tags, long Overflow);

/// <summary>What did not reach the shared tier.</summary>
internal enum MissedKind
{
    Remove,
    Expire,
    Write,
}

/// <summary>
/// What the shared tier missed while it was out: per key the newest change, per tag whether it was removed or expired. Bounded; past the
/// bound it remembers no more than that everything must be invalidated.
/// </summary>
internal sealed class RecoveryLog(Func<int> maxKeys)
{
    /// <summary>How many bytes of values are kept; a write beyond it is replayed as a removal.</summary>
    private const long MaxBytes = 64L << 20;

    private readonly Lock _lock = new(); // guards all fields; _count is read without it
    private readonly Dictionary<string, MissedChange> _keys = new(StringComparer.Ordinal);
    private readonly Dictionary<string, MissedTag> _tags = new(StringComparer.Ordinal);
    private long _bytes;
    private long _order;
    private int _count;
    private long _overflow; // the order of the latest change that found no room; 0 for none

    /// <summary>How much is to be made good.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>Whether a change of this key is to be made good.</summary>
    public bool HasKey(string key)
    {
        if (Count == 0)
        {
            return false;
        }

        lock (_lock)
        {
            return _overflow != 0 || _keys.ContainsKey(key);
        }
    }

    public void AddKey(string key, MissedKind kind, byte[]? value = null, TimeSpan timeToLive = default)
    {
        lock (_lock)
        {
            if (_keys.Remove(key, out MissedChange? older))
            {
                _bytes -= older.Value?.Length ?? 0;
            }
            else if (_keys.Count >= maxKeys())
            {
                _overflow = ++_order;
                CountUnderLock();
                return;
            }

            if (value is not null && _bytes + value.Length > MaxBytes)
            {
                (kind, value) = (MissedKind.Remove, null);
            }

            _bytes += value?.Length ?? 0;
            _keys[key] = new MissedChange(kind, value, timeToLive, ++_order);
            CountUnderLock();
        }
    }

    public void AddTag(TagState tag, bool isRemoval)
    {
        lock (_lock)
        {
            if (_tags.TryGetValue(tag.Name, out MissedTag? before) || _tags.Count < maxKeys())
            {
                _tags[tag.Name] = new MissedTag(tag, isRemoval || before is { IsRemoval: true }, ++_order);
                tag.IsMissed = true;
            }
            else
            {
                _overflow = ++_order;
            }

            CountUnderLock();
        }
    }

    /// <summary>What there is to be made good now.</summary>
    public MissedChanges Read()
    {
        lock (_lock)
        {
            return new MissedChanges([.. _keys], [.. _tags.Values], _overflow);
        }
    }

    /// <summary>Takes off a change that was made good, unless a newer one of its key has come.</summary>
    public void Done(string key, MissedChange change)
    {
        lock (_lock)
        {
            if (_keys.TryGetValue(key, out MissedChange? current) && current.Order == change.Order)
            {
                _keys.Remove(key);
                _bytes -= current.Value?.Length ?? 0;
            }

            CountUnderLock();
        }
    }

    /// <summary>A later change of a key reached the tier: what was missed before it no longer matters.</summary>
    public void Overtaken(string key)
    {
        if (Count == 0)
        {
            return;
        }

        lock (_lock)
        {
            if (_keys.Remove(key, out MissedChange? older))
            {
                _bytes -= older.Value?.Length ?? 0;
            }

            CountUnderLock();
        }
    }

    /// <summary>Takes off a tag whose raise was made good, unless a newer one has been missed since.</summary>
    public void TagDone(MissedTag missed)
    {
        lock (_lock)
        {
            if (_tags.TryGetValue(missed.Tag.Name, out MissedTag? current) && current.Order == missed.Order)
            {
                _tags.Remove(missed.Tag.Name);
                missed.Tag.IsMissed = false;
            }

            CountUnderLock();
        }
    }

    /// <summary>The namespace was invalidated as a whole, which makes good what found no room up to a number.</summary>
    public void OverflowDone(long overflow)
    {
        lock (_lock)
        {
            if (_overflow == overflow)
            {
                _overflow = 0;
            }

            CountUnderLock();
        }
    }

    private void CountUnderLock() => Volatile.Write(ref _count, _keys.Count + _tags.Count + (_overflow != 0 ? 1 : 0));
}
