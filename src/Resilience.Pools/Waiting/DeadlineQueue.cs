namespace Resilience.Pools;

/// <summary>
/// Deadlines of which most come in the order in which they are due, because most callers have the same timeout: those stand in a list,
/// where coming and going cost nothing; who is due before the last of them goes to a heap. Not thread-safe.
/// </summary>
internal sealed class DeadlineQueue<TItem>
    where TItem : class, IDeadlined<TItem>
{
    /// <summary>What <see cref="IDeadlined.HeapIndex"/> says of an item in the list.</summary>
    private const int InList = -2;
    private const int Nowhere = -1;

    private readonly DeadlineHeap<TItem> _others = new();
    private TItem? _first;
    private TItem? _last;

    /// <summary>The earliest due time; <see cref="long.MaxValue"/> when there is none.</summary>
    public long EarliestDue => Math.Min(_first?.Due ?? long.MaxValue, _others.EarliestDue);

    public TItem? Earliest => _first is { } first && first.Due <= _others.EarliestDue ? first : _others.Earliest;

    public void Add(TItem item)
    {
        if (_last is { } last && item.Due < last.Due)
        {
            _others.Add(item);
            return;
        }

        item.HeapIndex = InList;
        item.DueBefore = _last;
        item.DueAfter = null;
        if (_last is null)
        {
            _first = item;
        }
        else
        {
            _last.DueAfter = item;
        }

        _last = item;
    }

    /// <summary>Takes an item out, if it is in.</summary>
    public void Remove(TItem item)
    {
        if (item.HeapIndex != InList)
        {
            _others.Remove(item);
            return;
        }

        item.HeapIndex = Nowhere;
        TItem? before = item.DueBefore;
        TItem? after = item.DueAfter;
        item.DueBefore = item.DueAfter = null;
        if (before is null)
        {
            _first = after;
        }
        else
        {
            before.DueAfter = after;
        }

        if (after is null)
        {
            _last = before;
        }
        else
        {
            after.DueBefore = before;
        }
    }
}
