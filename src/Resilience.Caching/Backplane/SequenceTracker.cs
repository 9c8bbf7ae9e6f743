namespace Resilience.Caching.Backplane;

/// <summary>
/// Watches the numbers of incoming messages for one that is missing. Messages may come a little out of order: a number that came too
/// early waits for those before it, and only when they don't come in time is one missing.
/// </summary>
/// <remarks>Not thread-safe. The first number that it sees is where it starts.</remarks>
internal sealed class SequenceTracker
{
    private const int MaxEarly = 1024;
    private readonly SortedSet<long> _early = [];
    private long _gapSince = long.MaxValue;

    /// <summary>Up to which number all have come, or have been given up; -1 at the start.</summary>
    public long Last { get; private set; } = -1;

    /// <summary>When the oldest open gap will be taken for a loss; <see cref="long.MaxValue"/> when there is none.</summary>
    public long GapSince => _gapSince;

    /// <summary>Takes a number.</summary>
    /// <param name="sequence">The number.</param>
    /// <param name="now">The time, in milliseconds.</param>
    /// <returns>False when a message is missing for certain, or may be because the numbers have begun anew.</returns>
    public bool Take(long sequence, long now)
    {
        if (Last < 0 || sequence == Last + 1)
        {
            Last = sequence;
            Advance(now);
            return true;
        }

        if (sequence <= Last)
        {
            if (sequence >= Last - MaxEarly)
            {
                return true; // It comes late; whatever was to be concluded from its absence has been.
            }

            // Too far back to be merely late: the numbers begin anew, or the last one was none.
            Reset();
            Last = sequence;
            return false;
        }

        _early.Add(sequence);
        _gapSince = Math.Min(_gapSince, now);
        if (_early.Count <= MaxEarly)
        {
            return true;
        }

        GiveUp();
        return false;
    }

    /// <summary>Looks whether a gap has been open for too long.</summary>
    /// <returns>False when it has: a message is missing.</returns>
    public bool Check(long now, long patience)
    {
        if (_gapSince == long.MaxValue || now - _gapSince < patience)
        {
            return true;
        }

        GiveUp();
        return false;
    }

    /// <summary>Starts anew with the next number.</summary>
    public void Reset()
    {
        Last = -1;
        _early.Clear();
        _gapSince = long.MaxValue;
    }

    private void Advance(long now)
    {
        while (_early.Count > 0 && _early.Min == Last + 1)
        {
            Last = _early.Min;
            _early.Remove(Last);
        }

        _gapSince = _early.Count == 0 ? long.MaxValue : now;
    }

    private void GiveUp()
    {
        Last = _early.Max;
        _early.Clear();
        _gapSince = long.MaxValue;
    }
}
