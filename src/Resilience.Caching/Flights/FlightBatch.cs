namespace Resilience.Caching.Flights;

/// <summary>The flights that one call of a factory loads together. Each is answered for itself; whoever asked for all of them waits until the last one is.</summary>
internal sealed class FlightBatch
{
    private readonly TaskCompletionSource _answered = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _open;

    /// <summary>Puts flights together, of which none has begun.</summary>
    public FlightBatch(IReadOnlyList<Flight> flights)
    {
        Flights = flights;
        _open = flights.Count;
        foreach (Flight flight in flights)
        {
            flight.Batch = this;
        }
    }

    public IReadOnlyList<Flight> Flights { get; }

    /// <summary>The one that stands for all.</summary>
    public Flight Lead => Flights[0];

    /// <summary>Ends when all are answered; the load may go on, where stale copies were the answers.</summary>
    public Task Answered => _answered.Task;

    /// <summary>Notes an answer; called once a flight.</summary>
    public void NoteAnswer()
    {
        if (Interlocked.Decrement(ref _open) == 0)
        {
            _answered.TrySetResult();
        }
    }
}
