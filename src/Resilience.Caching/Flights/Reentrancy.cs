namespace Resilience.Caching.Flights;

/// <summary>Finds loads that would wait for themselves, before they do.</summary>
internal static class Reentrancy
{
    /// <summary>How far a chain of waits is followed; a longer one is no accident that this could explain.</summary>
    private const int MaxDepth = 64;

    /// <summary>At how many flights it is looked, however many a factory waits for at once.</summary>
    private const int MaxFlights = 4096;

    private static readonly AsyncLocal<FlightMark?> Ambient = new();

    /// <summary>The flight inside whose factory the caller runs, if it does and the flight is not over.</summary>
    public static Flight? Current => Ambient.Value?.Flight;

    /// <summary>Says whose factory is about to run. What is set in an async method is gone when that returns.</summary>
    public static void Enter(Flight flight) => Ambient.Value = flight.Cancellation;

    /// <summary>Throws when the code that asks for a key runs inside the factory that loads it, directly or through others.</summary>
    public static void ThrowIfInside(Flight outer, CacheCore core, string key)
    {
        for (Flight? at = outer; at is not null; at = at.Outer)
        {
            if (ReferenceEquals(at.Owner, core) && IsLoading(at, key))
            {
                var chain = new List<string> { key };
                for (Flight? link = outer; link is not null && !ReferenceEquals(link, at); link = link.Outer)
                {
                    chain.Insert(0, link.Key);
                }

                chain.Insert(0, key);
                throw new CacheReentrancyException(core.Name, chain);
            }
        }
    }

    /// <summary>
    /// Notes that a factory waits for flights; it may do so several times at once. When two factories wait for one another, each notes first
    /// and looks then, so one of them at least finds the other.
    /// </summary>
    /// <exception cref="CacheReentrancyException">One of the flights waits, through others, for the factory that is about to wait for it.</exception>
    public static void BeginWait(Flight outer, IReadOnlyList<Flight> wait, string cache)
    {
        Flight waiting = Lead(outer);
        waiting.BeginWait(wait);
        var chain = new List<string> { waiting.Key };
        if (LeadsTo(wait, waiting, chain, []))
        {
            waiting.EndWait(wait);
            throw new CacheReentrancyException(cache, chain);
        }
    }

    /// <summary>Notes that the wait is over.</summary>
    public static void EndWait(Flight outer, IReadOnlyList<Flight> wait) => Lead(outer).EndWait(wait);

    /// <summary>Whether one of the flights is the sought one, or waits for it through others; the chain is the way there.</summary>
    private static bool LeadsTo(IReadOnlyList<Flight> flights, Flight sought, List<string> chain, HashSet<Flight> seen)
    {
        foreach (Flight flight in flights)
        {
            Flight lead = Lead(flight);
            if (flight.IsAnswered || seen.Count >= MaxFlights || !seen.Add(lead))
            {
                continue;
            }

            chain.Add(flight.Key);
            if (ReferenceEquals(lead, sought) || (chain.Count <= MaxDepth && lead.Waits.Any(wait => LeadsTo(wait, sought, chain, seen))))
            {
                return true;
            }

            chain.RemoveAt(chain.Count - 1);
        }

        return false;
    }

    /// <summary>The flight that stands for all that one factory call loads.</summary>
    private static Flight Lead(Flight flight) => flight.Batch?.Lead ?? flight;

    private static bool IsLoading(Flight flight, string key)
    {
        if (flight.Batch is null)
        {
            return IsLoadingItself(flight, key);
        }

        foreach (Flight member in flight.Batch.Flights)
        {
            if (IsLoadingItself(member, key))
            {
                return true;
            }
        }

        return false;
    }

    private static bool IsLoadingItself(Flight flight, string key) =>
        string.Equals(flight.Key, key, StringComparison.Ordinal) && !flight.IsDoomed && !flight.IsAnswered;
}
