using Resilience.Caching.Backplane;
using Resilience.Caching.Shared;
using Resilience.Caching.Telemetry;
using Resilience.Settings;

namespace Resilience.Caching;

/// <summary>What a cache does beside reads and writes: sweeps, listens, applies new settings, notices when the shared tier comes and goes.</summary>
internal sealed class CacheUpkeep : IAsyncDisposable
{
    private readonly CacheCore _core;
    private readonly SharedWriter _writer;
    private readonly SharedProbe? _probe;
    private readonly BackplaneLink? _link;
    private readonly IDisposable _settings;
    private readonly ITimer _sweep;
    private volatile Exception? _lastFailure;
    private int _isStarted;

    public CacheUpkeep(CacheCore core, WritePath writes, SharedWriter writer, IBackplane? backplane, LiveSettings<CacheOptions> settings)
    {
        _core = core;
        _writer = writer;
        _settings = settings.OnChange(Apply);
        if (core.Shared is { } shared)
        {
            shared.Failed = exception => _lastFailure = exception;
            shared.StateChanged = OnSharedState;
            _probe = new SharedProbe(core);
            if (backplane is not null && core.Settings.Shared is { Enabled: true, Backplane.Enabled: true })
            {
                _link = new BackplaneLink(core, writes, backplane) { Connected = _probe.Hasten };
                writer.Announce = _link.Announcer.Announce;
            }
        }

        TimeSpan interval = core.Settings.Local.SweepInterval;
        using (ExecutionContext.SuppressFlow())
        {
            _sweep = core.Time.CreateTimer(static state => ((CacheUpkeep)state!).Sweep(), this, interval, interval);
        }
    }

    /// <summary>The channel to other nodes; <see langword="null"/> where there is none.</summary>
    public BackplaneLink? Link => _link;

    /// <summary>Connects, in the background, unless that was done.</summary>
    public void Start()
    {
        if (_link is not null && Volatile.Read(ref _isStarted) == 0 && Interlocked.Exchange(ref _isStarted, 1) == 0)
        {
            _link.Start();
        }
    }

    public async ValueTask DisposeAsync()
    {
        _settings.Dispose();
        await _sweep.DisposeAsync().ConfigureAwait(false);
        if (_link is not null)
        {
            await _link.DisposeAsync().ConfigureAwait(false);
        }

        if (_probe is not null)
        {
            await _probe.DisposeAsync().ConfigureAwait(false);
        }
    }

    private void Apply(CacheOptions settings)
    {
        _core.Apply(settings);
        _writer.StartReplay(); // The shared tier may have been switched on.
    }

    private void OnSharedState(bool isClosed)
    {
        if (!isClosed)
        {
            _probe!.Start();
            _core.Events.Raise(CacheEventKind.SharedTierLost, default, failure: _lastFailure);
            CachingLog.SharedOpened(_core.Logger, _core.Name, _core.Statistics.Read(CacheCount.SharedFailure), _lastFailure);
            return;
        }

        _core.Events.Raise(CacheEventKind.SharedTierBack, default);

        // While it was out, versions and tombstones of other nodes could not be seen.
        CachingLog.SharedClosed(_core.Logger, _core.Name, _writer.MissedCount);
        _core.Distrust();
        _writer.StartReplay(isBack: true);
    }

    private void Sweep()
    {
        try
        {
            _core.Local.Sweep(_core.Clock.Milliseconds);
        }
        catch (Exception exception)
        {
            CachingLog.UpkeepFailed(_core.Logger, _core.Name, exception);
        }
    }
}
