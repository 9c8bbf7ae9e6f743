using Resilience.Context;

namespace Resilience.Caching.Guard;

/// <summary>
/// The filters in force and whether they may refuse: the guard's state, apart from who reads, adds, builds and follows.
/// </summary>
/// <remarks>
/// Permission to refuse is one number, the reading of the coarse clock up to which it holds. It is 0 in every state but Ready, and
/// recomputed under the lock whenever anything that it depends on changes, so that a read which is about to refuse makes one comparison.
/// Thread-safe.
/// </remarks>
internal sealed class GuardFilters
{
    /// <summary>Blocks that an estimate of the fill looks at: about 10 µs.</summary>
    private const int SampledBlocks = 1024;

    private readonly Lock _lock = new(); // guards all writes below
    private readonly CoarseClock _clock;
    private readonly bool _isShared;
    private volatile Sieves _sieves;
    private volatile GuardOptions _options;
    private GuardState _condition = GuardState.Off;
    private long _builtAt;
    private long _confirmedAt = long.MinValue;
    private long _refuseUntil;
    private long _nextFillCheck = long.MaxValue;
    private int _flaws; // contradictions and losses so far: a rebuild that began before one does not heal it

    public GuardFilters(CoarseClock clock, GuardOptions options, ulong seed, bool isShared)
    {
        _clock = clock;
        _options = options;
        _isShared = isShared;
        _sieves = new Sieves(seed, null, null);
    }

    /// <summary>The filters; one consistent set.</summary>
    public Sieves Sieves => _sieves;

    /// <summary>The options in force.</summary>
    public GuardOptions Options => _options;

    /// <summary>How many flaws were found so far.</summary>
    public int Flaws
    {
        get
        {
            lock (_lock)
            {
                return _flaws;
            }
        }
    }

    /// <summary>Whether a filter that lacks a key may refuse it now.</summary>
    public bool MayRefuse => _clock.Milliseconds < Volatile.Read(ref _refuseUntil);

    /// <summary>The state, time included.</summary>
    public GuardState State
    {
        get
        {
            lock (_lock)
            {
                return !_options.Enabled ? GuardState.Off
                    : _condition == GuardState.Ready && !MayRefuse ? GuardState.Stale : _condition;
            }
        }
    }

    /// <summary>The age of the filter in force.</summary>
    public TimeSpan? Age
    {
        get
        {
            lock (_lock)
            {
                return _sieves.Current is null ? null : TimeSpan.FromMilliseconds(Math.Max(0, _clock.Milliseconds - _builtAt));
            }
        }
    }

    /// <summary>Takes new options over.</summary>
    public void Configure(GuardOptions options)
    {
        lock (_lock)
        {
            _options = options;
            RecomputeUnderLock();
        }
    }

    /// <summary>Says that a first filter is on its way, or that none could be built; says nothing where there is one.</summary>
    public void Announce(GuardState withoutFilter)
    {
        lock (_lock)
        {
            if (_sieves.Current is null)
            {
                _condition = withoutFilter;
            }
        }
    }

    /// <summary>Publishes a filter under construction: from now on every addition goes to it too.</summary>
    /// <returns>The flaws so far, for <see cref="Commit"/>.</returns>
    public int Begin(SplitBlockBloomFilter building, ulong seed)
    {
        lock (_lock)
        {
            if (_sieves.Seed == seed)
            {
                _sieves = _sieves with { Building = building };
            }

            // A full fence on leaving the lock: additions that are appended to the log from here on see the new pair.
            return _flaws;
        }
    }

    /// <summary>Drops a filter under construction.</summary>
    public void Abort(SplitBlockBloomFilter building)
    {
        lock (_lock)
        {
            if (ReferenceEquals(_sieves.Building, building))
            {
                _sieves = _sieves with { Building = null };
            }
        }
    }

    /// <summary>Puts a built filter in force.</summary>
    /// <returns>Whether it is; not, when the journal that it was built over was lost meanwhile.</returns>
    public bool Commit(SplitBlockBloomFilter building, long startedAt, int flawsAtBegin)
    {
        lock (_lock)
        {
            if (!ReferenceEquals(_sieves.Building, building))
            {
                return false;
            }

            _sieves = new Sieves(_sieves.Seed, building, null);
            _builtAt = startedAt;
            _condition = flawsAtBegin == _flaws ? GuardState.Ready : GuardState.Contradicted;
            _nextFillCheck = building.Additions + CheckEvery(building);
            RecomputeUnderLock();
            return true;
        }
    }

    /// <summary>Drops everything and begins again with another seed: the journal is another.</summary>
    public void Reset(ulong seed)
    {
        lock (_lock)
        {
            _sieves = new Sieves(seed, null, null);
            _condition = GuardState.Loading;
            _confirmedAt = long.MinValue;
            _flaws++;
            RecomputeUnderLock();
        }
    }

    /// <summary>Notes that the current filter held, at a moment, everything that had been acknowledged.</summary>
    public void Confirm(ulong seed, long at)
    {
        lock (_lock)
        {
            if (_sieves.Seed == seed && at > _confirmedAt)
            {
                _confirmedAt = at;
                RecomputeUnderLock();
            }
        }
    }

    /// <summary>Stops refusing because a refused key exists.</summary>
    /// <returns>Whether it is news.</returns>
    public bool Contradict()
    {
        lock (_lock)
        {
            bool isNews = _condition != GuardState.Contradicted;
            _condition = GuardState.Contradicted;
            _flaws++;
            RecomputeUnderLock();
            return isNews;
        }
    }

    /// <summary>Adds a hash to whatever filters there are, and to those that take their place meanwhile.</summary>
    /// <param name="hash">The hash.</param>
    /// <param name="seed">The seed that it was made with; of another seed's filters it says nothing, and whoever made it finds out from the journal.</param>
    /// <returns>The estimated false-positive rate when the filter has just become overfull, else <see langword="null"/>.</returns>
    public double? Add(ulong hash, ulong seed)
    {
        double? overfull = null;
        Sieves sieves;
        do
        {
            sieves = _sieves;
            if (sieves.Seed == seed && sieves.Add(hash))
            {
                overfull = CheckFill() ?? overfull;
            }
        }
        while (!ReferenceEquals(sieves, _sieves));
        return overfull;
    }

    /// <summary>After an addition that was new: looks at the fill now and then.</summary>
    private double? CheckFill()
    {
        SplitBlockBloomFilter? current = _sieves.Current;
        if (current is null || current.Additions < Volatile.Read(ref _nextFillCheck))
        {
            return null;
        }

        lock (_lock)
        {
            if (!ReferenceEquals(_sieves.Current, current) || current.Additions < _nextFillCheck)
            {
                return null;
            }

            Volatile.Write(ref _nextFillCheck, current.Additions + CheckEvery(current));
            double rate = current.EstimateFalsePositiveRate(SampledBlocks);
            if (_condition != GuardState.Ready || rate <= _options.FalsePositiveRate * _options.OverfillFactor)
            {
                return null;
            }

            _condition = GuardState.Overfull;
            RecomputeUnderLock();
            return rate;
        }
    }

    /// <summary>The fill and the estimated false-positive rate, from a sample.</summary>
    public (double Fill, double Rate) Measure() =>
        _sieves.Current is { } current ? (current.Fill(SampledBlocks), current.EstimateFalsePositiveRate(SampledBlocks)) : (0, 1);

    /// <summary>Often enough that a filter cannot go from good to overfull unnoticed, seldom enough to cost nothing.</summary>
    private static long CheckEvery(SplitBlockBloomFilter filter) => Math.Max(16, filter.Blocks);

    private void RecomputeUnderLock()
    {
        long until = 0;
        if (_condition == GuardState.Ready && _options.Enabled)
        {
            until = _builtAt + (long)_options.MaxAge.TotalMilliseconds;
            if (_isShared)
            {
                until = _confirmedAt == long.MinValue ? 0 : Math.Min(until, _confirmedAt + (long)_options.Freshness.TotalMilliseconds);
            }
        }

        Volatile.Write(ref _refuseUntil, until);
    }
}
