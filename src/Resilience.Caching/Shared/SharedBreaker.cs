using Resilience.Context;

namespace Resilience.Caching.Shared;

/// <summary>
/// Opens when too large a share of calls to the shared tier failed within a window, stays open for a jittered while, then lets a single
/// probe through, whose outcome decides.
/// </summary>
internal sealed class SharedBreaker(Func<SharedBreakerOptions> options, CoarseClock clock, Func<double> random)
{
    private readonly Lock _lock = new(); // guards all fields; _isClosed is read without it
    private volatile bool _isClosed = true;
    private bool _probing;
    private long _openUntil;
    private long _windowEnd;
    private int _calls;
    private int _failures;

    /// <summary>How it stands.</summary>
    public SharedTierState State
    {
        get
        {
            lock (_lock)
            {
                return _isClosed ? SharedTierState.Closed : _probing ? SharedTierState.Probing : SharedTierState.Open;
            }
        }
    }

    /// <summary>Whether it is closed: the cheap question.</summary>
    public bool IsClosed => _isClosed;

    /// <summary>Asks whether a call may be made; each yes is answered by exactly one <see cref="Record"/>.</summary>
    public bool TryEnter()
    {
        if (_isClosed)
        {
            return true;
        }

        lock (_lock)
        {
            if (_isClosed)
            {
                return true;
            }

            if (_probing || clock.Milliseconds < _openUntil)
            {
                return false;
            }

            _probing = true;
            return true;
        }
    }

    /// <summary>Takes a call's outcome.</summary>
    /// <returns>What changed: true when it closed, false when it opened, <see langword="null"/> when nothing did.</returns>
    public bool? Record(bool succeeded)
    {
        SharedBreakerOptions settings = options();
        lock (_lock)
        {
            long now = clock.Milliseconds;
            if (!_isClosed)
            {
                // A straggler of the time before it opened says nothing new when it fails, and is as good as a probe when it succeeds.
                if (succeeded)
                {
                    _probing = false;
                    _isClosed = true;
                    StartWindowUnderLock(now, settings);
                    return true;
                }

                if (_probing)
                {
                    _probing = false;
                    _openUntil = now + Jittered(settings.OpenFor);
                }

                return null;
            }

            if (now >= _windowEnd)
            {
                StartWindowUnderLock(now, settings);
            }

            _calls++;
            _failures += succeeded ? 0 : 1;
            if (succeeded || _calls < settings.MinimumCalls || _failures < settings.FailureRatio * _calls)
            {
                return null;
            }

            _isClosed = false;
            _probing = false;
            _openUntil = now + Jittered(settings.OpenFor);
            return false;
        }
    }

    private void StartWindowUnderLock(long now, SharedBreakerOptions settings)
    {
        _windowEnd = now + (long)settings.Window.TotalMilliseconds;
        _calls = 0;
        _failures = 0;
    }

    private long Jittered(TimeSpan span) => (long)(span.TotalMilliseconds * (0.8 + (0.4 * random())));
}
