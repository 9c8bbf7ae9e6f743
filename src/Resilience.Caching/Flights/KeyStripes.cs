using System.Numerics;

namespace Resilience.Caching.Flights;

/// <summary>
/// One lock for a share of the keys, and the flights of those keys. Whatever writes the local tier or ends, dooms or joins a flight of
/// a key holds the key's stripe; readers of the local tier hold nothing.
/// </summary>
internal sealed class KeyStripe(object owner)
{
    private Flight? _flights; // guarded by Lock, as is every flight's place in the list

    /// <summary>Guards the flights of the stripe's keys, their states, and the writes of the local tier for those keys.</summary>
    public Lock Lock { get; } = new();

    /// <summary>The cache whose keys these are.</summary>
    public object Owner => owner;

    /// <summary>The first flight of the list.</summary>
    public Flight? FirstUnderLock => _flights;

    public void AddUnderLock(Flight flight)
    {
        flight.Next = _flights;
        flight.IsListed = true;
        _flights = flight;
    }

    public void RemoveUnderLock(Flight flight)
    {
        if (!flight.IsListed)
        {
            return;
        }

        flight.IsListed = false;
        if (ReferenceEquals(_flights, flight))
        {
            _flights = flight.Next;
            return;
        }

        for (Flight? at = _flights; at is not null; at = at.Next)
        {
            if (ReferenceEquals(at.Next, flight))
            {
                at.Next = flight.Next;
                return;
            }
        }
    }

    /// <summary>
    /// Takes all flights of a key out of the list: what they bring is handed to those who wait already and kept nowhere, and whoever comes
    /// later begins anew.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="isRemoval">Whether their stale copies are to be forgotten too.</param>
    /// <param name="writing">Where to collect the writes to the shared tier that are under way; <see langword="null"/> where nobody minds.</param>
    public void DoomUnderLock(string key, bool isRemoval, List<Task>? writing = null)
    {
        for (Flight? at = _flights; at is not null;)
        {
            Flight? next = at.Next;
            if (string.Equals(at.Key, key, StringComparison.Ordinal))
            {
                at.IsDoomed = true;
                if (at.Writing is { IsCompleted: false } write)
                {
                    writing?.Add(write);
                }

                if (isRemoval)
                {
                    at.DropStale();
                }

                RemoveUnderLock(at);
            }

            at = next;
        }
    }
}

/// <summary>All stripes of a cache.</summary>
internal sealed class KeyStripes
{
    private readonly KeyStripe[] _stripes = new KeyStripe[BitOperations.RoundUpToPowerOf2((uint)Math.Clamp(Environment.ProcessorCount * 32, 128, 4096))];

    public KeyStripes(object owner)
    {
        for (int i = 0; i < _stripes.Length; i++)
        {
            _stripes[i] = new KeyStripe(owner);
        }
    }

    public KeyStripe this[string key] => _stripes[key.GetHashCode(StringComparison.Ordinal) & (_stripes.Length - 1)];

    /// <summary>How many flights are under way.</summary>
    public int CountFlights()
    {
        int count = 0;
        foreach (KeyStripe stripe in _stripes)
        {
            lock (stripe.Lock)
            {
                for (Flight? at = stripe.FirstUnderLock; at is not null; at = at.Next)
                {
                    count++;
                }
            }
        }

        return count;
    }
}
