using Resilience.Caching.Frames;

namespace Resilience.Caching.Shared;

/// <summary>What a flight or a write knew of the shared tier before it began to make its value: what its frame is stamped with.</summary>
internal sealed class SharedStamp
{
    /// <summary>The version that stood in the tier when the flight looked; 0 for none.</summary>
    public long ObservedVersion { get; set; }

    /// <summary>Whether a frame may be written: the tier answered, and all versions are known from before the value was made.</summary>
    public bool MayWrite { get; set; }

    /// <summary>Whether a frame is written only over what the flight saw; false where it was told not to look.</summary>
    public bool IsConditional { get; set; } = true;

    /// <summary>The version of the namespace.</summary>
    public long NamespaceVersion { get; set; }

    /// <summary>The tags with their versions.</summary>
    public FrameTag[] Tags { get; set; } = [];

    /// <summary>The number of the lease under which the value is made; 0 for none.</summary>
    public long Fence { get; set; }

    /// <summary>When the stamp was taken, by the cache's clock: a version that became known later is no evidence.</summary>
    public long TakenAt { get; set; }

    /// <summary>How long the flight may still spend on looking into the tier, its turn among nodes included.</summary>
    public SharedBudget Budget { get; set; }
}
