using Resilience.Context;

namespace Resilience.Degrade;

/// <summary>
/// Stops a client from hammering a backend that refuses it: once more than K times as many calls are made as are accepted, the surplus is refused here
/// with the probability max(0, (requests − K·accepts) / (requests + 1)), over the last two minutes. From "Handling Overload" in Google's
/// Site Reliability Engineering.
/// </summary>
/// <remarks>Thread-safe; allocates nothing per call.</remarks>
public sealed class ClientThrottle
{
    private const int Buckets = 24;

    private readonly Lock _lock = new(); // guards the buckets and their sums
    private readonly CoarseClock _clock;
    private readonly Random _random;
    private readonly double _k;
    private readonly int _floor;
    private readonly double _most;
    private readonly long _bucketMs;
    private readonly long[] _requests = new long[Buckets];
    private readonly long[] _accepts = new long[Buckets];
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

    /// <summary>The probability at the moment with which a call is refused here.</summary>
    public double RefusalProbability
    {
        get
        {
            lock (_lock)
            {
                AdvanceUnderLock();
                return ProbabilityUnderLock();
            }
        }
    }

    /// <summary>Asks whether a call may be made. Every yes must be followed by one <see cref="Report"/>.</summary>
    /// <returns>Whether to call.</returns>
    public bool TryBegin()
    {
        lock (_lock)
        {
            AdvanceUnderLock();
            double probability = ProbabilityUnderLock();

            // A call that is refused here is one that was wanted: it counts, as in the source.
            _requests[_bucket % Buckets]++;
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

    private double ProbabilityUnderLock() =>
        _requestSum < _floor ? 0 : Math.Min(_most, Math.Max(0, (_requestSum - (_k * _acceptSum)) / (_requestSum + 1)));

    private void AdvanceUnderLock()
    {
        long now = _clock.Milliseconds / _bucketMs;
        for (long steps = Math.Min(now - _bucket, Buckets); steps > 0; steps--)
        {
            long old = ++_bucket % Buckets;
            _requestSum -= _requests[old];
            _acceptSum -= _accepts[old];
            (_requests[old], _accepts[old]) = (0, 0);
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
