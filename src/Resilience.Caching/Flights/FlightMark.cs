namespace Resilience.Caching.Flights;

/// <summary>
/// What a factory gets of its flight: the source of its token, and the mark that flows with its ambient context. A factory may leave behind
/// what keeps either, a timer or a registration; with the flight's end the mark lets go of the flight, so that it keeps no more than itself.
/// </summary>
internal sealed class FlightMark(Flight flight) : CancellationTokenSource
{
    private Flight? _flight = flight;

    /// <summary>The flight; <see langword="null"/> once it is over.</summary>
    public Flight? Flight => Volatile.Read(ref _flight);

    /// <summary>Lets go of the flight.</summary>
    public void End() => Volatile.Write(ref _flight, null);
}
