namespace Resilience.Pools;

/// <summary>
/// Finds a size from what leases cost: additive increase while the pool is full, callers wait and leases are as short as ever;
/// multiplicative decrease when leases grow longer, because then the backend is the bottleneck and more connections only queue there,
/// or when creations fail. Two windows must agree, so that one slow query moves nothing. <see cref="Used"/> is thread-safe, the rest is
/// the pool's lock's.
/// </summary>
internal sealed class PoolSizer
{
    private const int WindowsToAgree = 2;
    private const double UsualDrift = 0.05;

    private readonly PoolOptions _options;
    private readonly long _window;
    private long _usedTicks;
    private long _uses;
    private long _windowEnds;
    private int _busiest;
    private bool _waited;
    private bool _failed;
    private double _usual;
    private int _growVotes;
    private int _shrinkVotes;

    public PoolSizer(PoolOptions options, int size)
    {
        _options = options;
        _window = (long)options.AdaptiveSizing.Window.TotalMilliseconds;
        Size = Math.Clamp(size, options.AdaptiveSizing.MinSize, options.MaxSize);
    }

    public int Size { get; private set; }

    /// <summary>Notes one lease's length.</summary>
    public void Used(TimeSpan time)
    {
        Interlocked.Add(ref _usedTicks, time.Ticks);
        Interlocked.Increment(ref _uses);
    }

    /// <summary>Looks at the pool.</summary>
    /// <returns>The size, when a window has ended; else <see langword="null"/>.</returns>
    public int? Tick(long now, int leased, bool waiting, bool failing)
    {
        _busiest = Math.Max(_busiest, leased);
        _waited |= waiting;
        _failed |= failing;
        if (_windowEnds == 0)
        {
            _windowEnds = now + _window;
        }

        if (now < _windowEnds)
        {
            return null;
        }

        _windowEnds = now + _window;
        long uses = Interlocked.Exchange(ref _uses, 0);
        long ticks = Interlocked.Exchange(ref _usedTicks, 0);
        Decide(uses == 0 ? 0 : (double)ticks / uses);
        (_busiest, _waited, _failed) = (0, false, false);
        return Size;
    }

    private void Decide(double held)
    {
        bool slow = _usual > 0 && held > _usual * _options.AdaptiveSizing.Tolerance;
        bool full = _busiest >= Size * 0.9;
        if (held > 0 && !slow)
        {
            // A quicker window is believed at once, a slower one by and by: the usual is what the backend can do, not what it does under load.
            _usual = _usual == 0 || held < _usual ? held : _usual + ((held - _usual) * UsualDrift);
        }

        _shrinkVotes = slow || _failed ? _shrinkVotes + 1 : 0;
        _growVotes = !slow && !_failed && full && _waited ? _growVotes + 1 : 0;
        if (_shrinkVotes >= WindowsToAgree)
        {
            Size = Math.Max(_options.AdaptiveSizing.MinSize, Math.Min(Size - 1, (int)(Size * 0.8)));
            _shrinkVotes = 0;
        }
        else if (_growVotes >= WindowsToAgree)
        {
            Size = Math.Min(_options.MaxSize, Size + Math.Max(1, Size / 10));
            _growVotes = 0;
        }
    }
}
