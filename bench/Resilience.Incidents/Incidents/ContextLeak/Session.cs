namespace Resilience.Incidents.Incidents.ContextLeak;

/// <summary>What the shop knows of the caller while it serves one request: profile, claims, basket.</summary>
internal sealed class Session(int customer)
{
    private readonly byte[] _profile = new byte[PayloadBytes];

    public const int PayloadBytes = 8 * 1024;

    public int Customer => customer;

    public int Discount => _profile[customer % PayloadBytes] + 5;
}

/// <summary>The reminders for unfinished payments: a timer each, for half an hour.</summary>
internal sealed class Reminders
{
    private readonly List<Timer> _pending = [];
    private readonly Lock _lock = new(); // guards _pending

    public int Count => _pending.Count;

    /// <summary>Starts one. A timer captures the ExecutionContext of whoever makes it, with every AsyncLocal in it, until it is disposed.</summary>
    public void Remind(int order)
    {
        var timer = new Timer(static order => GC.KeepAlive(order), order, TimeSpan.FromMinutes(30), Timeout.InfiniteTimeSpan);
        lock (_lock)
        {
            _pending.Add(timer);
        }
    }

    public void Clear()
    {
        foreach (Timer timer in _pending)
        {
            timer.Dispose();
        }

        _pending.Clear();
    }
}
