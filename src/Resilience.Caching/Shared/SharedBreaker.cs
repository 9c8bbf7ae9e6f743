using Resilience.Context;

namespace Resilience.Caching.Shared;

/// <summary>
/// Opens when too large a share of the newest calls to the shared tier failed. While it is open no caller gets through; a single probe at
/// a time does, whose success closes it.
/// </summary>
/// <remarks>
/// It counts calls of a window, and of those the newest only: of a busy tier a window holds thousands of good calls, which would have to be
/// outweighed by as many callers who wait for their timeouts.
/// </remarks>
internal sealed class SharedBreaker(Func<SharedBreakerOptions> options, CoarseClock clock)
{
    /// <summary>How many calls count at most, unless the settings ask for more.</summary>
    public const int NewestCalls = 32;

    private readonly Lock _lock = new(); // guards all fields; _isClosed is read without it
    private volatile bool _isClosed = true;
    private bool _probing;
    private (long At, bool Succeeded)[] _newest = new (long, bool)[NewestCalls]; // a ring
    private int _oldest;
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

    /// <summary>Whether it is closed, so that callers get through.</summary>
    public bool IsClosed => _isClosed;

    /// <summary>Asks whether a probe may be made, which is the case while it is open and no other is under way; a yes is answered by <see cref="RecordProbe"/>.</summary>
    public bool TryProbe()
    {
        lock (_lock)
        {
            return !_isClosed && !_probing && (_probing = true);
        }
    }

    /// <summary>Takes the outcome of a call that was made while it was closed.</summary>
    /// <returns>Whether it opened.</returns>
    public bool Record(bool succeeded)
    {
        SharedBreakerOptions settings = options();
        lock (_lock)
        {
            if (!_isClosed)
            {
                return false; // A straggler of the time before it opened says nothing of now.
            }

            AddUnderLock(succeeded, settings);
            if (succeeded || _calls < settings.MinimumCalls || _failures < settings.FailureRatio * _calls)
            {
                return false;
            }

            _isClosed = false;
            return true;
        }
    }

    /// <summary>Takes the outcome of a probe.</summary>
    /// <returns>Whether it closed.</returns>
    public bool RecordProbe(bool succeeded)
    {
        lock (_lock)
        {
            _probing = false;
            if (!succeeded || _isClosed)
            {
                return false;
            }

            ForgetUnderLock(_newest.Length);
            return _isClosed = true;
        }
    }

    private void AddUnderLock(bool succeeded, SharedBreakerOptions settings)
    {
        int capacity = Math.Max(NewestCalls, settings.MinimumCalls);
        if (capacity != _newest.Length)
        {
            ForgetUnderLock(capacity);
        }

        long now = clock.Milliseconds;
        while (_calls == capacity || (_calls > 0 && now - _newest[_oldest].At >= settings.Window.TotalMilliseconds))
        {
            _failures -= _newest[_oldest].Succeeded ? 0 : 1;
            _oldest = (_oldest + 1) % capacity;
            _calls--;
        }

        _newest[(_oldest + _calls) % capacity] = (now, succeeded);
        _calls++;
        _failures += succeeded ? 0 : 1;
    }

    private void ForgetUnderLock(int capacity)
    {
        if (capacity != _newest.Length)
        {
            _newest = new (long, bool)[capacity];
        }

        (_oldest, _calls, _failures) = (0, 0, 0);
    }
}
