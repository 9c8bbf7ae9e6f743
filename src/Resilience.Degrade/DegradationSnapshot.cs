namespace Resilience.Degrade;

/// <summary>The decisions on all features at one moment.</summary>
/// <remarks>Thread-safe. A decision never changes; a feature that is declared afterwards is taken in as it is when it is first asked for, and stays so.</remarks>
public sealed class DegradationSnapshot
{
    private readonly FeatureBook _owner;
    private FeatureSlot[] _slots;

    internal DegradationSnapshot(FeatureBook owner, long revision, FeatureSlot[] slots)
    {
        _owner = owner;
        Revision = revision;
        _slots = slots;
    }

    /// <summary>Grows with every change.</summary>
    public long Revision { get; }

    /// <summary>The decisions, one for each feature that was declared when the snapshot was taken, and those asked for since.</summary>
    public IEnumerable<FeatureDecision> Decisions => Slots.Select(slot => slot.Decision);

    /// <summary>The state of a feature.</summary>
    /// <param name="feature">The feature.</param>
    public FeatureState StateOf(Feature feature)
    {
        ArgumentNullException.ThrowIfNull(feature);
        return _owner.SlotOf(this, feature).State;
    }

    internal FeatureBook Owner => _owner;

    internal FeatureSlot[] Slots => Volatile.Read(ref _slots);

    /// <summary>Takes in the features that only a later snapshot knows.</summary>
    /// <param name="later">The slots of the later one.</param>
    /// <returns>All slots, at least as many as the later one has.</returns>
    internal FeatureSlot[] Complete(FeatureSlot[] later)
    {
        FeatureSlot[] own = Slots;
        while (own.Length < later.Length)
        {
            FeatureSlot[] whole = [.. own, .. later.AsSpan(own.Length)];
            FeatureSlot[] seen = Interlocked.CompareExchange(ref _slots, whole, own);
            own = ReferenceEquals(seen, own) ? whole : seen;
        }

        return own;
    }
}
