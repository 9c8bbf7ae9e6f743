namespace Resilience.Degrade;

/// <summary>The decisions on all features at one moment.</summary>
/// <remarks>Immutable and thread-safe.</remarks>
public sealed class DegradationSnapshot
{
    private readonly FeatureSlot[] _slots;

    internal DegradationSnapshot(object owner, long revision, FeatureSlot[] slots)
    {
        Owner = owner;
        Revision = revision;
        _slots = slots;
    }

    /// <summary>Grows with every change.</summary>
    public long Revision { get; }

    /// <summary>The decisions, one for each feature that was declared when the snapshot was taken.</summary>
    public IEnumerable<FeatureDecision> Decisions => _slots.Select(slot => slot.Decision);

    /// <summary>The state of a feature; its declared default if it was declared after the snapshot.</summary>
    /// <param name="feature">The feature.</param>
    public FeatureState StateOf(Feature feature)
    {
        ArgumentNullException.ThrowIfNull(feature);
        FeatureSlot[] slots = _slots;
        return (uint)feature.Index < (uint)slots.Length ? slots[feature.Index].State : feature.Default;
    }

    internal object Owner { get; }

    internal FeatureSlot[] Slots => _slots;
}
