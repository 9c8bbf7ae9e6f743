using Resilience.Caching.Invalidation;

namespace Resilience.Caching.Shared;

/// <summary>
/// Looks for the shared tier while its breaker is open, in the background, so that no caller waits for a tier that is known to be broken.
/// </summary>
/// <remarks>A probe asks for the version of the namespace: what every read of the tier needs first, and what a tier that takes no writes cannot promise.</remarks>
internal sealed class SharedProbe : IAsyncDisposable
{
    private readonly CacheCore _core;
    private readonly ITimer _timer;
    private readonly Lock _lock = new(); // guards the fields below, and the timer's next time
    private bool _isUnderWay;
    private bool _isHastened;

    public SharedProbe(CacheCore core)
    {
        _core = core;
        using (ExecutionContext.SuppressFlow())
        {
            _timer = core.Time.CreateTimer(static state => _ = ((SharedProbe)state!).ProbeAsync(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>Begins to probe: the breaker has opened.</summary>
    public void Start()
    {
        lock (_lock)
        {
            _timer.Change(Pause, Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>Probes at once, if there is reason to: something else has heard of the tier.</summary>
    public void Hasten()
    {
        lock (_lock)
        {
            if (_core.Shared!.IsBroken)
            {
                _isHastened = true;
                _timer.Change(TimeSpan.Zero, Timeout.InfiniteTimeSpan);
            }
        }
    }

    public ValueTask DisposeAsync() => _timer.DisposeAsync();

    private TimeSpan Pause => _core.Settings.Shared.Breaker.OpenFor * (0.8 + (0.4 * _core.Random()));

    private async Task ProbeAsync()
    {
        lock (_lock)
        {
            if (_isUnderWay)
            {
                return; // The one under way is followed by another at once.
            }

            (_isUnderWay, _isHastened) = (true, false);
        }

        await _core.Shared!.ProbeAsync(_core.KeyPrefix + Invalidations.NamespaceTag, _core.Invalidations.Namespace.Known).ConfigureAwait(false);
        lock (_lock)
        {
            _isUnderWay = false;
            if (_core.Shared.IsBroken)
            {
                _timer.Change(_isHastened ? TimeSpan.Zero : Pause, Timeout.InfiniteTimeSpan);
            }
        }
    }
}
