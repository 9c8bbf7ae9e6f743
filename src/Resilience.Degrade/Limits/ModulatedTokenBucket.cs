using System.Threading.RateLimiting;

namespace Resilience.Degrade;

/// <summary>
/// A token bucket whose rate falls as something presses: full rate up to a pressure of 0.80, a tenth of it from 0.935 on, in a straight line between. It
/// fills itself as it is asked, needs no timer, and its limits can be changed while it is used.
/// </summary>
/// <remarks>Thread-safe. It does not queue; a refusal says after what time a token will be there.</remarks>
public sealed class ModulatedTokenBucket : RateLimiter
{
    /// <summary>A token that is short by no more than the rounding of its sum is a token.</summary>
    private const double Rounding = 1e-6;

    private const long NotFull = long.MinValue;

    private static readonly RefusedLease Granted = new(null, isAcquired: true);

    private readonly Lock _lock = new(); // guards all fields below it
    private readonly Func<double> _pressure;
    private readonly TimeProvider _time;
    private double _permitsPerSecond;
    private double _burst;
    private double _tokens;
    private long _filledAt;
    private long _fullSince;
    private long _succeeded;
    private long _failed;

    /// <summary>Makes a bucket, full.</summary>
    /// <param name="permitsPerSecond">The rate while nothing presses; above 0.</param>
    /// <param name="burst">How many tokens it holds; 1 or more.</param>
    /// <param name="pressure">Reads the pressure, 0 to 1; must not block.</param>
    /// <param name="timeProvider">The clock.</param>
    /// <exception cref="ArgumentOutOfRangeException">The rate or the burst is out of range.</exception>
    public ModulatedTokenBucket(double permitsPerSecond, int burst, Func<double> pressure, TimeProvider? timeProvider = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(permitsPerSecond);
        ArgumentOutOfRangeException.ThrowIfLessThan(burst, 1);
        ArgumentNullException.ThrowIfNull(pressure);
        _permitsPerSecond = permitsPerSecond;
        _burst = burst;
        _tokens = burst;
        _pressure = pressure;
        _time = timeProvider ?? TimeProvider.System;
        _fullSince = _filledAt = _time.GetTimestamp();
    }

    /// <summary>The rate while nothing presses, in permits per second; above 0. What has been earned before a change stays.</summary>
    public double PermitsPerSecond
    {
        get
        {
            lock (_lock)
            {
                return _permitsPerSecond;
            }
        }

        set
        {
            ArgumentOutOfRangeException.ThrowIfNegativeOrZero(value);
            lock (_lock)
            {
                FillUnderLock(RateUnderLock());
                _permitsPerSecond = value;
            }
        }
    }

    /// <summary>How many tokens it holds; 1 or more. What is beyond a lowered bound is lost.</summary>
    public int Burst
    {
        get
        {
            lock (_lock)
            {
                return (int)_burst;
            }
        }

        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, 1);
            lock (_lock)
            {
                FillUnderLock(RateUnderLock());
                _burst = value;
                _tokens = Math.Min(_tokens, value);
                _fullSince = _tokens < value ? NotFull : _fullSince == NotFull ? _filledAt : _fullSince;
            }
        }
    }

    /// <summary>How long it has been full; <see langword="null"/> while it is not. What keeps one per caller may let go of those that are full for long.</summary>
    public override TimeSpan? IdleDuration
    {
        get
        {
            lock (_lock)
            {
                FillUnderLock(RateUnderLock());
                return _fullSince == NotFull ? null : _time.GetElapsedTime(_fullSince);
            }
        }
    }

    /// <summary>The rate at a pressure.</summary>
    /// <param name="maximum">The rate while nothing presses.</param>
    /// <param name="pressure">The pressure, 0 to 1.</param>
    public static double RateAt(double maximum, double pressure) => maximum * AdmissionController.MemoryFactor(double.IsNaN(pressure) ? 0 : pressure);

    /// <inheritdoc/>
    public override RateLimiterStatistics GetStatistics()
    {
        lock (_lock)
        {
            FillUnderLock(RateUnderLock());
            return new RateLimiterStatistics { CurrentAvailablePermits = (long)_tokens, TotalSuccessfulLeases = _succeeded, TotalFailedLeases = _failed };
        }
    }

    /// <inheritdoc/>
    protected override RateLimitLease AttemptAcquireCore(int permitCount)
    {
        lock (_lock)
        {
            if (permitCount > _burst)
            {
                throw new ArgumentOutOfRangeException(nameof(permitCount), permitCount, $"The bucket never holds more than {_burst:0} tokens.");
            }

            // To ask for no permit is to ask whether there is one.
            double rate = RateUnderLock();
            FillUnderLock(rate);
            if (_tokens + Rounding >= Math.Max(permitCount, 1))
            {
                _tokens = Math.Max(0, _tokens - permitCount);
                _fullSince = permitCount > 0 ? NotFull : _fullSince;
                _succeeded++;
                return Granted;
            }

            _failed++;
            return new RefusedLease(TimeSpan.FromSeconds((Math.Max(permitCount, 1) - _tokens) / rate));
        }
    }

    /// <inheritdoc/>
    protected override ValueTask<RateLimitLease> AcquireAsyncCore(int permitCount, CancellationToken cancellationToken) =>
        cancellationToken.IsCancellationRequested ? ValueTask.FromCanceled<RateLimitLease>(cancellationToken) : new(AttemptAcquireCore(permitCount));

    private double RateUnderLock() => RateAt(_permitsPerSecond, _pressure());

    private void FillUnderLock(double rate)
    {
        long now = _time.GetTimestamp();
        double earned = rate * _time.GetElapsedTime(_filledAt, now).TotalSeconds;
        double missing = _burst - _tokens;
        if (earned < missing)
        {
            _tokens += earned;
        }
        else if (missing > 0 || _fullSince == NotFull)
        {
            _tokens = _burst;
            _fullSince = now - (long)((earned - missing) / rate * _time.TimestampFrequency);
        }

        _filledAt = now;
    }
}
