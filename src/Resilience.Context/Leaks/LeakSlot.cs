using System.Diagnostics;

namespace Resilience.Context;

/// <summary>
/// The detector's entry for one scope. Entries and their weak references are used again: making a weak reference costs a handle and a
/// finalizer, setting its target a few nanoseconds. All fields are guarded by the lock of the stripe.
/// </summary>
internal sealed class LeakSlot(LeakStripe stripe)
{
    public LeakStripe Stripe { get; } = stripe;

    public WeakReference<RequestScope?> Scope { get; } = new(null);

    public bool IsUsed { get; set; }

    public bool IsReported { get; set; }

    public long Begun { get; set; }

    public string File { get; set; } = "";

    public int Line { get; set; }

    public StackTrace? Stack { get; set; }

    public LeakSlot? NextFree { get; set; }
}

/// <summary>A part of the detector's registry; threads on different cores use different parts.</summary>
internal sealed class LeakStripe
{
    /// <summary>Guards everything else here and the fields of the slots.</summary>
    public Lock Lock { get; } = new();

    public List<LeakSlot> Slots { get; } = [];

    public LeakSlot? Free { get; set; }

    public int Live { get; set; }

    public void FreeUnderLock(LeakSlot slot)
    {
        slot.Scope.SetTarget(null);
        slot.IsUsed = false;
        slot.IsReported = false;
        slot.Stack = null;
        slot.NextFree = Free;
        Free = slot;
        Live--;
    }
}
