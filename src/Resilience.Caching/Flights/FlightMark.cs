namespace Resilience.Caching.Flights;

/// <summary>
/// What a factory gets of its flight: the source of its token, and the mark that flows with its ambient context. A factory may leave behind
/// what keeps either, a timer or a registration; with the flight's end the mark lets go of the flight, so that it keeps no more than itself.
/// </summary>
internal sealed class FlightMark(Flight flight) : CancellationTokenSource
{
    private Flight? _flight = flight;
    private bool _wasSeen;

    /// <summary>The flight; <see langword="null"/> once it is over. Whoever gets it may keep it.</summary>
    public Flight? Flight
    {
        get
        {
            // First the word, then the look, with a full fence between the two as there is in End: one of both finds the other.
            Interlocked.Exchange(ref _wasSeen, true);
            return Volatile.Read(ref _flight);
        }
    }

    /// <summary>Whether anybody may have got the flight from here. Final once <see cref="End"/> has returned.</summary>
    public bool WasSeen => Volatile.Read(ref _wasSeen);

    /// <summary>Lets go of the flight.</summary>
    public void End() => Interlocked.Exchange(ref _flight, null);
}
