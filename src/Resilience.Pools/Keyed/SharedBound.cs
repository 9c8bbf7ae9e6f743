using System.Collections.Concurrent;

namespace Resilience.Pools;

/// <summary>
/// A bound over the pools of all keys. Who could not have a place is remembered, and when one comes free whoever has the fewest is asked
/// again, among equals the first. It never calls a member while it holds its lock, because members call it under theirs.
/// </summary>
internal sealed class SharedBound(int most) : ISharedBound
{
    private readonly Lock _lock = new(); // guards _wanting, _isWanting, _taken
    private readonly List<IBoundMember> _wanting = [];
    private readonly HashSet<IBoundMember> _isWanting = [];
    private readonly ConcurrentDictionary<IBoundMember, bool> _members = new();
    private int _taken;
    private volatile int _wantingCount;

    public bool IsWanted => _wantingCount > 0;

    public int Taken => Volatile.Read(ref _taken);

    public void Join(IBoundMember member) => _members.TryAdd(member, true);

    public void Leave(IBoundMember member)
    {
        _members.TryRemove(member, out _);
        lock (_lock)
        {
            if (_isWanting.Remove(member))
            {
                _wanting.Remove(member);
                _wantingCount = _wanting.Count;
            }
        }
    }

    public bool IsOwedBy(IBoundMember member)
    {
        lock (_lock)
        {
            // By more than one, or the two would give it to each other for ever.
            return LeastUnderLock(_wanting.Where(static other => other.CanUseOne)) is { } least && least.Open + 1 < member.Open;
        }
    }

    public bool TryTake(IBoundMember member)
    {
        lock (_lock)
        {
            if (_taken < most)
            {
                _taken++;
                return true;
            }

            if (_isWanting.Add(member))
            {
                _wanting.Add(member);
                _wantingCount = _wanting.Count;
                Interlocked.MemoryBarrier();
            }

            return false;
        }
    }

    public void Release()
    {
        lock (_lock)
        {
            _taken--;
        }

        // One that no longer wants the place takes none; then it is the next one's.
        while (NextUnderBound() is { } member)
        {
            member.Retry();
        }
    }

    public void MakeRoomFor(IBoundMember member)
    {
        foreach ((IBoundMember other, _) in _members)
        {
            if (!ReferenceEquals(other, member) && other.TryGiveUpIdle())
            {
                return;
            }
        }
    }

    private IBoundMember? NextUnderBound()
    {
        lock (_lock)
        {
            if (_taken >= most || LeastUnderLock(_wanting) is not { } member)
            {
                return null;
            }

            _wanting.Remove(member);
            _isWanting.Remove(member);
            _wantingCount = _wanting.Count;
            return member;
        }
    }

    /// <summary>Who of those that want a place has the fewest; the first of them.</summary>
    private static IBoundMember? LeastUnderLock(IEnumerable<IBoundMember> wanting)
    {
        IBoundMember? least = null;
        foreach (IBoundMember member in wanting)
        {
            if (least is null || member.Open < least.Open)
            {
                least = member;
            }
        }

        return least;
    }
}
