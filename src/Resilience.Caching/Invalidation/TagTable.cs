using System.Collections.Concurrent;

namespace Resilience.Caching.Invalidation;

/// <summary>The tags of which the node knows, bounded.</summary>
/// <remarks>
/// A tag that must be forgotten for room is retired: entries that hold its state see it as removed and are loaded anew. A state made
/// later for the same name starts at the number of the latest forgetting, so that a load that began before cannot slip an invalidation
/// that was forgotten with the old state.
/// </remarks>
internal sealed class TagTable(int capacity, InvalidationCount count)
{
    private readonly ConcurrentDictionary<string, TagState> _states = new(StringComparer.Ordinal);
    private readonly Lock _trimming = new(); // one trim at a time; guards nothing else
    private int _size;
    private long _forgottenAt;

    /// <summary>How many tags are known.</summary>
    public int Count => Volatile.Read(ref _size);

    /// <summary>All states, for the sake of distrusting them.</summary>
    public IEnumerable<TagState> States => _states.Values;

    /// <summary>The state of a tag, made if need be.</summary>
    public TagState Get(string tag)
    {
        if (_states.TryGetValue(tag, out TagState? state))
        {
            state.Used = true;
            return state;
        }

        var made = new TagState(tag);
        long forgotten = Volatile.Read(ref _forgottenAt);
        made.Invalidate(forgotten, isRemoval: true);
        state = _states.GetOrAdd(tag, made);
        if (!ReferenceEquals(state, made))
        {
            return state;
        }

        // A forgetting that came in between might have been of this tag.
        if (Volatile.Read(ref _forgottenAt) is long again && again != forgotten)
        {
            made.Invalidate(again, isRemoval: true);
        }

        if (Interlocked.Increment(ref _size) > capacity)
        {
            Trim(made);
        }

        return made;
    }

    /// <summary>The state of a tag if the node knows it.</summary>
    public TagState? Find(string tag) => _states.TryGetValue(tag, out TagState? state) ? state : null;

    /// <summary>Lets every state that is made from now on begin at a new number: something of a tag without one is forgotten. A full fence.</summary>
    public void Forget()
    {
        long number = count.Next();
        long before;
        do
        {
            before = Interlocked.Read(ref _forgottenAt);
        }
        while (before < number && Interlocked.CompareExchange(ref _forgottenAt, number, before) != before);
    }

    private void Trim(TagState keep)
    {
        lock (_trimming)
        {
            int surplus = Count - (capacity - (capacity / 8));
            if (Count <= capacity)
            {
                return;
            }

            // Two rounds of a clock: who was used since the last trim is spared once.
            for (int round = 0; round < 2 && surplus > 0; round++)
            {
                foreach ((string name, TagState state) in _states)
                {
                    if (surplus <= 0)
                    {
                        return;
                    }

                    if (state.Used && round == 0)
                    {
                        state.Used = false;
                        continue;
                    }

                    if (ReferenceEquals(state, keep) || state.IsRaisePending)
                    {
                        continue;
                    }

                    Forget();
                    if (_states.TryRemove(KeyValuePair.Create(name, state)))
                    {
                        state.Retire();
                        Interlocked.Decrement(ref _size);
                        surplus--;
                    }
                }
            }
        }
    }
}
