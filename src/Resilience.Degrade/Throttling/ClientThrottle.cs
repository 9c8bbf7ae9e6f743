using Resilience.Context;

namespace Resilience.Degrade;

/// <summary>
/// Stops a client from hammering a backend that refuses it: of the calls of the last two minutes, K times as many as were accepted may be made, and the
/// surplus is refused here. What matters least goes first: the surplus is taken from the least important calls, and from others only as far as those do
/// not make it up, so critical calls are the last to be kept at home.
/// </summary>
/// <remarks>
/// From "Handling Overload" in Google's Site Reliability Engineering: with calls of one priority alone the probability is the book's,
/// max(0, (requests − K·accepts) / (requests + 1)). The book keeps figures of each criticality by itself, which needs a backend that refuses by criticality;
/// with one budget for all, critical calls also get through to one that refuses at random, and it sees no more calls than without priorities.
/// Thread-safe; allocates nothing per call.
/// </remarks>
public sealed class ClientThrottle
{
    private const int Priorities = 4;
    private const int Buckets = 24;

    private readonly Lock _lock = new(); // guards the buckets and their sums
    private readonly CoarseClock _clock;
    private readonly Random _random;
    private readonly double _k;
    private readonly int _floor;
    private readonly double _most;
    private readonly long _bucketMs;
    private readonly long[] _requests = new long[Buckets * Priorities];
    private readonly long[] _accepts = new long[Buckets];
    private readonly long[] _requestSums = new long[Priorities];
    private long _requestSum;
    private long _acceptSum;
    private long _bucket;

    /// <summary>Makes a throttle.</summary>
    /// <param name="options">Its settings; defaults when <see langword="null"/>.</param>
    /// <param name="timeProvider">The clock.</param>
    /// <param name="random">Draws; a shared one when <see langword="null"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">A setting is out of range.</exception>
    public ClientThrottle(ClientThrottleOptions? options = null, TimeProvider? timeProvider = null, Random? random = null)
    {
        options ??= new ClientThrottleOptions();
        ArgumentOutOfRangeException.ThrowIfLessThan(options.K, 1.0, nameof(options));
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MinimumRequests, 0, nameof(options));
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Window, TimeSpan.FromSeconds(1), nameof(options));
        ArgumentOutOfRangeException.ThrowIfNegative(options.MaxProbability, nameof(options));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.MaxProbability, 1.0, nameof(options));
        _clock = new CoarseClock(timeProvider);
        _random = random ?? Random.Shared;
        _k = options.K;
        _floor = options.MinimumRequests;
        _most = options.MaxProbability;
        _bucketMs = (long)options.Window.TotalMilliseconds / Buckets;
        _bucket = _clock.Milliseconds / _bucketMs;
    }

    /// <summary>The share of all calls that is refused here at the moment, from 0 to <see cref="ClientThrottleOptions.MaxProbability"/>.</summary>
    public double RefusalProbability
    {
        get
        {
            lock (_lock)
            {
                AdvanceUnderLock();
                return _requestSum < _floor ? 0 : Math.Clamp(SurplusUnderLock() / (_requestSum + 1), 0, _most);
            }
        }
    }

    /// <summary>The probability at the moment with which a call of a priority is refused here; never more than for one that matters less.</summary>
    /// <param name="priority">The priority.</param>
    public double RefusalProbabilityOf(Priority priority)
    {
        lock (_lock)
        {
            AdvanceUnderLock();
            return ProbabilityUnderLock((int)priority & 3);
        }
    }

    /// <summary>
    /// Asks whether a call may be made, with the priority of the request scope; <see cref="Priority.Normal"/> outside one. Every yes must be followed by one
    /// <see cref="Report"/>.
    /// </summary>
    /// <returns>Whether to call.</returns>
    public bool TryBegin() => TryBegin(RequestScope.Current?.Priority ?? Priority.Normal);

    /// <summary>Asks whether a call may be made. Every yes must be followed by one <see cref="Report"/>.</summary>
    /// <param name="priority">How much the call matters.</param>
    /// <returns>Whether to call.</returns>
    public bool TryBegin(Priority priority)
    {
        int own = (int)priority & 3;
        lock (_lock)
        {
            AdvanceUnderLock();
            double probability = ProbabilityUnderLock(own);

            // A call that is refused here is one that was wanted: it counts, as in the source.
            _requests[(_bucket % Buckets * Priorities) + own]++;
            _requestSums[own]++;
            _requestSum++;
            return probability <= 0 || _random.NextDouble() >= probability;
        }
    }

    /// <summary>Says whether the backend took the call.</summary>
    /// <param name="accepted">True for every answer but "too much": an error of the call itself was accepted too.</param>
    public void Report(bool accepted)
    {
        if (!accepted)
        {
            return;
        }

        lock (_lock)
        {
            AdvanceUnderLock();
            _accepts[_bucket % Buckets]++;
            _acceptSum++;
        }
    }

    private double SurplusUnderLock() => _requestSum - (_k * _acceptSum);

    private double ProbabilityUnderLock(int priority)
    {
        if (_requestSum < _floor)
        {
            return 0;
        }

        double surplus = SurplusUnderLock();
        for (int lesser = priority + 1; lesser < Priorities; lesser++)
        {
            surplus -= _requestSums[lesser];
        }

        return Math.Clamp(surplus / (_requestSums[priority] + 1), 0, _most);
    }

    private void AdvanceUnderLock()
    {
        long now = _clock.Milliseconds / _bucketMs;
        for (long steps = Math.Min(now - _bucket, Buckets); steps > 0; steps--)
        {
            long old = ++_bucket % Buckets;
            for (int priority = 0; priority < Priorities; priority++)
            {
                ref long requests = ref _requests[(old * Priorities) + priority];
                _requestSums[priority] -= requests;
                _requestSum -= requests;
                requests = 0;
            }

            _acceptSum -= _accepts[old];
            _accepts[old] = 0;
        }

        _bucket = Math.Max(_bucket, now);
    }
}

/// <summary>The settings of a <see cref="ClientThrottle"/>.</summary>
public sealed class ClientThrottleOptions
{
    /// <summary>How many calls are made for each that is accepted before the surplus is refused; 2, at least 1. Less refuses sooner.</summary>
    public double K { get; init; } = 2;

    /// <summary>How far back it looks; 2 min, at least 1 s.</summary>
    public TimeSpan Window { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>How many calls there must be in the window before any is refused; 20.</summary>
    public int MinimumRequests { get; init; } = 20;

    /// <summary>The most probable refusal, so that some calls always find out whether the backend is back; 0.95, from 0 to 1.</summary>
    public double MaxProbability { get; init; } = 0.95;
}
