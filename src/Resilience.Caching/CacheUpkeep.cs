using Resilience.Caching.Backplane;
using Resilience.Caching.Shared;
using Resilience.Caching.Telemetry;
using Resilience.Settings;

namespace Resilience.Caching;

/// <summary>What a cache does beside reads and writes: sweeps, listens, applies new settings, notices when the shared tier comes and goes.</summary>
internal sealed class CacheUpkeep : IAsyncDisposable
{
    private readonly CacheCore _core;
    private readonly WritePath _writes;
    private readonly SharedWriter _writer;
    private readonly IBackplane? _backplane;
    private readonly SharedProbe? _probe;
    private readonly IDisposable _settings;
    private readonly ITimer _sweep;
    private readonly Lock _connecting = new(); // guards the writes of the fields below but the last
    private volatile BackplaneLink? _link;
    private volatile bool _isStarted;
    private bool _isListening;
    private bool _isDisposed;
    private volatile Exception? _lastFailure;

    public CacheUpkeep(CacheCore core, WritePath writes, SharedWriter writer, IBackplane? backplane, LiveSettings<CacheOptions> settings)
    {
        _core = core;
        _writes = writes;
        _writer = writer;
        _backplane = backplane;
        if (core.Shared is { } shared)
        {
            shared.Failed = exception => _lastFailure = exception;
            shared.StateChanged = OnSharedState;
            _probe = new SharedProbe(core);
            Connect();
        }

        _settings = settings.OnChange(Apply);
        while (!ReferenceEquals(core.Settings, settings.Current))
        {
            Apply(settings.Current); // They changed while the cache was being put together.
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
        if (!_isStarted)
        {
            _isStarted = true;
            Connect();
        }
    }

    public async ValueTask DisposeAsync()
    {
        _settings.Dispose();
        lock (_connecting)
        {
            _isDisposed = true;
        }

        await _sweep.DisposeAsync().ConfigureAwait(false);
        if (_link is { } link)
        {
            await link.DisposeAsync().ConfigureAwait(false);
        }

        if (_probe is not null)
        {
            await _probe.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Makes the channel once the settings ask for it, and listens once the cache is in use. It stays until the end, even if it is switched off again.</summary>
    private void Connect()
    {
        lock (_connecting)
        {
            if (_isDisposed || _backplane is null || _probe is null || _core.Settings.Shared is not { Enabled: true, Backplane.Enabled: true })
            {
                return;
            }

            if (_link is null)
            {
                _link = new BackplaneLink(_core, _writes, _backplane) { Connected = _probe.Hasten };
                _writer.Announce = _link.Announcer.Announce;
            }

            if (_isStarted && !_isListening)
            {
                _isListening = true;
                _link.Start();
            }
        }
    }

    private void Apply(CacheOptions settings)
    {
        _core.Apply(settings);
        Connect(); // The shared tier may have been switched on.
        _writer.StartReplay();
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
