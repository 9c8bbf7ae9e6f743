using Resilience.Caching.Local;

namespace Resilience.Benchmarks.HitRatio;

/// <summary>A cache of unit weights, judged by its hits alone.</summary>
internal interface IPolicy : IDisposable
{
    /// <summary>Reads a key, and on a miss writes it.</summary>
    bool Read(int key);
}

/// <summary>The exact least-recently-used order, for one thread.</summary>
internal sealed class LruPolicy(int capacity) : IPolicy
{
    private readonly Dictionary<int, LinkedListNode<int>> _map = new(capacity);
    private readonly LinkedList<int> _order = new();

    public bool Read(int key)
    {
        if (_map.TryGetValue(key, out LinkedListNode<int>? node))
        {
            _order.Remove(node);
            _order.AddFirst(node);
            return true;
        }

        if (_map.Count == capacity)
        {
            _map.Remove(_order.Last!.Value);
            _order.RemoveLast();
        }

        _map.Add(key, _order.AddFirst(key));
        return false;
    }

    public void Dispose()
    {
    }
}

/// <summary>A local tier, called as the cache calls it.</summary>
internal sealed class TierPolicy(ILocalTier tier, string[] names) : IPolicy
{
    public bool Read(int key)
    {
        string name = names[key];
        if (tier.Find(name) is not null)
        {
            return true;
        }

        tier.Set(name, new LocalEntry { DeadAt = long.MaxValue });
        return false;
    }

    public void Dispose() => tier.Dispose();
}

/// <summary>Belady's clairvoyant bound: evicts whoever is read again last.</summary>
internal static class Belady
{
    public static long Hits(ReadOnlySpan<int> keys, int capacity, int judged)
    {
        int[] next = new int[keys.Length];
        var last = new Dictionary<int, int>();
        for (int i = keys.Length - 1; i >= 0; i--)
        {
            next[i] = last.GetValueOrDefault(keys[i], int.MaxValue);
            last[keys[i]] = i;
        }

        var held = new Dictionary<int, int>(capacity); // a key and the read at which it is wanted next
        var queue = new PriorityQueue<(int Key, int Next), int>(Comparer<int>.Create((a, b) => b.CompareTo(a))); // holds outdated entries too
        long hits = 0;
        for (int i = 0; i < keys.Length; i++)
        {
            int key = keys[i];
            if (held.ContainsKey(key))
            {
                hits += key < judged ? 1 : 0;
            }
            else if (next[i] == int.MaxValue)
            {
                continue; // never wanted again: not worth a place
            }
            else if (held.Count == capacity)
            {
                (int Key, int Next) victim;
                do
                {
                    victim = queue.Dequeue();
                }
                while (!held.TryGetValue(victim.Key, out int wanted) || wanted != victim.Next);

                if (victim.Next <= next[i])
                {
                    queue.Enqueue(victim, victim.Next);
                    continue;
                }

                held.Remove(victim.Key);
            }

            held[key] = next[i];
            queue.Enqueue((key, next[i]), next[i]);
        }

        return hits;
    }
}
