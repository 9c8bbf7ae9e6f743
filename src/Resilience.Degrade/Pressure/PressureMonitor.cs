using Resilience.Context;
using System.Collections.Frozen;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Resilience.Settings;

namespace Resilience.Degrade;

/// <summary>
/// Samples all signals on a thread of its own and turns them into levels. A timer or a work item would be late exactly when it matters: under
/// thread-pool starvation it is those that do not run.
/// </summary>
/// <remarks>Thread-safe for readers.</remarks>
public sealed class PressureMonitor : IHostedService, IDisposable
{
    private readonly IPressureSignalSource[] _sources;
    private readonly ITickListener[] _listeners;
    private readonly SystemSampler _sampler;
    private readonly MemoryRelief _relief;
    private readonly FeatureBook _book;
    private readonly LiveSettings<DegradeSettings> _settings;
    private readonly ILogger _logger;
    private readonly ManualResetEventSlim _stop = new();
    private readonly IDisposable _subscription;
    private volatile Watched[] _signals;
    private readonly HashSet<string> _warned = new(StringComparer.OrdinalIgnoreCase); // used when the host has started and on reloads, one at a time
    private volatile PressureSettings _current;
    private volatile PressureReading _reading = PressureReading.Calm;
    private int _isReconfigured; // Interlocked; whether the settings say something else than when the pressure was last read
    private Thread? _thread;
    private long _lateBy;

    internal PressureMonitor(IEnumerable<IPressureSignal> signals, IEnumerable<ITickListener> listeners, SystemSampler sampler, FeatureBook book, LiveSettings<DegradeSettings> settings, DegradeMetrics metrics, ILogger<PressureMonitor> logger, IEnumerable<IPressureSignalSource>? sources = null)
    {
        _sources = [.. sources ?? []];
        _signals = [.. signals.DistinctBy(signal => signal.Name, StringComparer.Ordinal).Select(signal => new Watched(signal))];
        _listeners = [.. listeners];
        _sampler = sampler;
        _book = book;
        _settings = settings;
        _logger = logger;
        _current = settings.Current.Pressure;
        _relief = new MemoryRelief(logger);
        _subscription = settings.OnChange(Configure);
        Configure(settings.Current);
        metrics.ObservePressure(() => _signals);
    }

    /// <summary>The highest level among all signals that are enabled and press on all features.</summary>
    public PressureLevel Level => _reading.Overall;

    /// <summary>The signal that has it; empty when nothing presses.</summary>
    public string Loudest => _reading.Loudest;

    /// <summary>Whether memory pressed for long, one garbage collection did not help, and only a restart will.</summary>
    public bool IsMemoryStuck => _relief.IsStuck;

    /// <summary>How late the last sample was: how long after it was due it was taken.</summary>
    public TimeSpan LateBy => TimeSpan.FromMilliseconds(Volatile.Read(ref _lateBy));

    internal PressureReading Reading => _reading;

    /// <summary>The level of one signal; <see cref="PressureLevel.Normal"/> for one that is not there.</summary>
    /// <param name="signal">Its name.</param>
    public PressureLevel LevelOf(string signal)
    {
        ArgumentNullException.ThrowIfNull(signal);
        return _reading.Levels.GetValueOrDefault(signal);
    }

    /// <summary>The last value of each signal, with its level.</summary>
    public IReadOnlyList<(string Signal, double Value, PressureLevel Level)> Values =>
        [.. _signals.Select(watched => (watched.Signal.Name, watched.Value, watched.Level))];

    /// <summary>Warns of settings that name a signal which is not there, once each: a trigger that is mistyped would never fire.</summary>
    internal void WarnOfUnknownSignals()
    {
        DegradeSettings settings = _settings.Current;
        foreach ((string name, FeatureSettings feature) in settings.Features)
        {
            foreach (string trigger in feature.Triggers)
            {
                WarnIfUnknown($"{nameof(DegradeSettings.Features)}:{name}:{nameof(FeatureSettings.Triggers)}", trigger, trigger);
            }
        }

        foreach (string name in settings.Pressure.Signals.Keys)
        {
            WarnIfUnknown($"{nameof(DegradeSettings.Pressure)}:{nameof(PressureSettings.Signals)}", name, name);
        }

        void WarnIfUnknown(string path, string name, string dotted)
        {
            if (_signals.Any(watched => watched.Signal.Name == name || string.Equals(watched.Signal.Name.Replace(':', '.'), dotted, StringComparison.OrdinalIgnoreCase)) || !_warned.Add($"{path}:{name}"))
            {
                return;
            }

            DegradeLog.SignalUnknown(_logger, $"{_settings.Path}:{path}", name, string.Join("', '", _signals.Select(watched => watched.Signal.Name)));
        }
    }

    /// <inheritdoc/>
    Task IHostedService.StartAsync(CancellationToken cancellationToken)
    {
        AddSources();
        if (_signals.Length > 0 || _listeners.Length > 0)
        {
            _thread = new Thread(Run) { Name = "resilience-pressure", IsBackground = true, Priority = ThreadPriority.AboveNormal };
            _thread.UnsafeStart();
        }

        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    Task IHostedService.StopAsync(CancellationToken cancellationToken)
    {
        _stop.Set();
        return Task.CompletedTask;
    }

    /// <summary>Ends the sampling thread.</summary>
    public void Dispose()
    {
        _stop.Set();
        _thread?.Join();
        _thread = null;
        _subscription.Dispose();
        _stop.Dispose();
        _sampler.Dispose();
    }

    /// <summary>Takes one sample. The thread's own; tests call it with no thread running.</summary>
    internal void Tick()
    {
        SystemSample sample = _sampler.Sample();
        Tick(sample);
    }

    internal void Tick(in SystemSample sample)
    {
        bool changed = Interlocked.Exchange(ref _isReconfigured, 0) != 0;
        PressureSettings settings = _current;
        foreach (Watched watched in _signals)
        {
            changed |= watched.Update(sample.NowMs, _logger);
        }

        Watched? memory = Find(SystemSignals.Memory);
        if (memory is not null)
        {
            _relief.Update(memory.Level, memory.Value, sample.NowMs, settings);
        }

        if (changed)
        {
            PressureReading before = _reading;
            _reading = Read();
            if (before.Overall != _reading.Overall)
            {
                DegradeLog.PressureChanged(_logger, before.Overall, _reading.Overall, _reading.Loudest);
            }

            _book.Take(_reading);
        }

        foreach (ITickListener listener in _listeners)
        {
            listener.Tick(sample, RefusalLevel(), memory?.Value ?? 0);
        }
    }

    /// <summary>The highest level among the signals that refuse requests; lower for memory that is stuck, so that shedding is not for ever.</summary>
    private PressureLevel RefusalLevel()
    {
        var level = PressureLevel.Normal;
        foreach (Watched watched in _signals)
        {
            if (watched.Settings.RefusesRequests)
            {
                PressureLevel own = watched.Level;
                if (watched.Signal.Name == SystemSignals.Memory)
                {
                    own = (PressureLevel)Math.Max(0, (int)own - _relief.EasedBy);
                }

                level = own > level ? own : level;
            }
        }

        return level;
    }

    private PressureReading Read()
    {
        (PressureLevel overall, string loudest) = (PressureLevel.Normal, "");
        foreach (Watched watched in _signals)
        {
            if (watched.Level > overall && watched.Settings.PressesAll)
            {
                (overall, loudest) = (watched.Level, watched.Signal.Name);
            }
        }

        return new PressureReading(_signals.ToFrozenDictionary(watched => watched.Signal.Name, watched => watched.Level, StringComparer.Ordinal), overall, loudest);
    }

    private Watched? Find(string name)
    {
        foreach (Watched watched in _signals)
        {
            if (watched.Signal.Name == name)
            {
                return watched;
            }
        }

        return null;
    }

    /// <summary>Only now, because what they watch may itself be made from services that watch the pressure.</summary>
    private void AddSources()
    {
        if (_sources.Length > 0)
        {
            _signals = [.. _signals.Concat(_sources.SelectMany(source => source.Signals).Select(signal => new Watched(signal))).DistinctBy(watched => watched.Signal.Name, StringComparer.Ordinal)];
            Configure(_settings.Current);
        }
    }

    private void Configure(DegradeSettings settings)
    {
        _current = settings.Pressure;
        foreach (Watched watched in _signals)
        {
            watched.Settings = settings.Pressure.For(watched.Signal.Name);
        }

        Volatile.Write(ref _isReconfigured, 1);
    }

    private void Run()
    {
        long due = Environment.TickCount64;
        while (!_stop.IsSet)
        {
            Volatile.Write(ref _lateBy, Math.Max(0, Environment.TickCount64 - due));
            try
            {
                Tick();
            }
            catch (Exception exception)
            {
                // The thread must live: without samples a level would stay for ever. Signals are guarded one by one; this is the rest.
                DegradeLog.SamplingFailed(_logger, exception);
            }

            // After a pause it goes on from here: no burst of samples.
            long now = Environment.TickCount64;
            due = Math.Max(due + (long)_current.SampleInterval.TotalMilliseconds, now);
            _stop.Wait((int)Math.Max(1, due - now));
        }
    }

    /// <summary>One signal with its level. Written by the sampling thread; read by anybody.</summary>
    internal sealed class Watched(IPressureSignal signal)
    {
        private readonly LevelTracker _tracker = new();
        private volatile SignalSettings _settings = new();
        private volatile int _level;
        private double _value;
        private bool _failing;

        public IPressureSignal Signal => signal;

        public SignalSettings Settings
        {
            get => _settings;
            set => _settings = value;
        }

        public PressureLevel Level => (PressureLevel)_level;

        public double Value => Volatile.Read(ref _value);

        public bool Update(long now, ILogger logger)
        {
            SignalSettings settings = _settings;
            double value;
            try
            {
                value = signal.Read();
                _failing = false;
            }
            catch (Exception exception)
            {
                value = double.NaN;
                if (!_failing)
                {
                    _failing = true;
                    DegradeLog.SignalFailed(logger, signal.Name, exception);
                }
            }

            if (!double.IsNaN(value))
            {
                Volatile.Write(ref _value, value);
            }

            int before = _level;
            _level = (int)_tracker.Update(settings.Enabled ? value : 0, now, settings);
            return before != _level;
        }
    }
}

/// <summary>Is called after each sample, on the sampling thread.</summary>
internal interface ITickListener
{
    /// <summary>Takes one sample.</summary>
    /// <param name="sample">The sample.</param>
    /// <param name="refusal">The level at which requests are refused by priority.</param>
    /// <param name="memory">Memory in use as the memory signal has it; 0 without that signal.</param>
    void Tick(in SystemSample sample, PressureLevel refusal, double memory);
}
