namespace Resilience.Pools;

/// <summary>Something with a moment at which it is due and a place of its own in a <see cref="DeadlineHeap{TItem}"/>.</summary>
internal interface IDeadlined
{
    long Due { get; }

    int HeapIndex { get; set; }
}

/// <summary>Something that may stand in a <see cref="DeadlineQueue{TItem}"/>.</summary>
internal interface IDeadlined<TItem> : IDeadlined
{
    TItem? DueBefore { get; set; }

    TItem? DueAfter { get; set; }
}

/// <summary>A binary heap by due time whose items know their place, so that any of them leaves in logarithmic time. Not thread-safe.</summary>
internal sealed class DeadlineHeap<TItem>
    where TItem : class, IDeadlined
{
    private TItem[] _items = new TItem[16];
    private int _count;

    public int Count => _count;

    /// <summary>The earliest due time; <see cref="long.MaxValue"/> when there is none.</summary>
    public long EarliestDue => _count == 0 ? long.MaxValue : _items[0].Due;

    public TItem? Earliest => _count == 0 ? null : _items[0];

    public void Add(TItem item)
    {
        if (_count == _items.Length)
        {
            Array.Resize(ref _items, _count * 2);
        }

        SiftUp(_count++, item);
    }

    public void Remove(TItem item)
    {
        int index = item.HeapIndex;
        if (index < 0)
        {
            return;
        }

        item.HeapIndex = -1;
        TItem last = _items[--_count];
        _items[_count] = null!;
        if (!ReferenceEquals(last, item))
        {
            if (index > 0 && _items[(index - 1) / 2].Due > last.Due)
            {
                SiftUp(index, last);
            }
            else
            {
                SiftDown(index, last);
            }
        }
    }

    private void SiftUp(int index, TItem item)
    {
        while (index > 0)
        {
            int parent = (index - 1) / 2;
            if (_items[parent].Due <= item.Due)
            {
                break;
            }

            Place(index, _items[parent]);
            index = parent;
        }

        Place(index, item);
    }

    private void SiftDown(int index, TItem item)
    {
        while (true)
        {
            int child = (2 * index) + 1;
            if (child >= _count)
            {
                break;
            }

            if (child + 1 < _count && _items[child + 1].Due < _items[child].Due)
            {
                child++;
            }

            if (_items[child].Due >= item.Due)
            {
                break;
            }

            Place(index, _items[child]);
            index = child;
        }

        Place(index, item);
    }

    private void Place(int index, TItem item)
    {
        _items[index] = item;
        item.HeapIndex = index;
    }
}
