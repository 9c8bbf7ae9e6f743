namespace Resilience.Pools;

/// <summary>A bound over several pools. Its members ask under their own lock; it never calls them under its own.</summary>
internal interface ISharedBound
{
    /// <summary>Whether a member wants a place that it could not have.</summary>
    bool IsWanted { get; }

    /// <summary>Whether a member that wants a place has so many fewer that this one should give one up, though its own callers wait.</summary>
    bool IsOwedBy(IBoundMember member);

    /// <summary>Takes a place, or notes that the member wants one.</summary>
    bool TryTake(IBoundMember member);

    /// <summary>Gives a place back and wakes a member that wants one.</summary>
    void Release();

    /// <summary>Has another member give up something idle.</summary>
    void MakeRoomFor(IBoundMember member);
}

/// <summary>A pool under a shared bound.</summary>
internal interface IBoundMember
{
    /// <summary>How many places it has.</summary>
    int Open { get; }

    /// <summary>Whether callers wait for it and its backend works, as far as is known: else nobody gives anything up for it.</summary>
    bool CanUseOne { get; }

    /// <summary>Tries again to create what is wanted.</summary>
    void Retry();

    /// <summary>Destroys one idle resource.</summary>
    /// <returns>False when it has none to spare.</returns>
    bool TryGiveUpIdle();
}
