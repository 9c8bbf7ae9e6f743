using System.Text.Json;
using Microsoft.Extensions.Logging;
using Resilience.Degrade;
using Resilience.Settings;

namespace Resilience.AspNetCore.Dashboard;

/// <summary>
/// Reads all panels once per interval while at least one page watches, and hands the sample to all of them. Its timer runs only then.
/// </summary>
/// <remarks>
/// A watcher asks for the next sample when it has sent the last one: a slow connection skips samples and holds up nobody. Thread-safe.
/// </remarks>
internal sealed class DashboardHub : IDisposable
{
    private const int MaxAudit = 100;

    private readonly Lock _lock = new(); // guards _watchers, _running and the timer's state
    private readonly Lock _sampling = new(); // one sample at a time; guards _history, _failing, _audit and the panels
    private readonly IDashboardPanel[] _panels;
    private readonly IDegradation? _degradation;
    private readonly DashboardJournal _journal;
    private readonly LiveSettings<DashboardSettings> _settings;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly ITimer _timer;
    private readonly Queue<PressurePoint> _history = new();
    private readonly HashSet<string> _failing = new(StringComparer.Ordinal);
    private AuditEntry[] _audit = [];
    private volatile Tick _tick = new(null, 0);
    private TimeSpan _running = Timeout.InfiniteTimeSpan;
    private int _watchers;

    public DashboardHub(
        IEnumerable<IDashboardPanel> panels,
        DashboardJournal journal,
        LiveSettings<DashboardSettings> settings,
        TimeProvider time,
        ILogger<DashboardHub> logger,
        IDegradation? degradation = null)
    {
        _panels = [.. panels];
        _degradation = degradation;
        _journal = journal;
        _settings = settings;
        _time = time;
        _logger = logger;
        using (ExecutionContext.SuppressFlow())
        {
            _timer = time.CreateTimer(static state => ((DashboardHub)state!).OnTimer(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>How many watch.</summary>
    public int Watchers => Volatile.Read(ref _watchers);

    /// <summary>Begins to watch, unless as many do as may.</summary>
    /// <returns>Dispose it to watch no more; <see langword="null"/> when there are too many.</returns>
    public IDisposable? TryWatch()
    {
        DashboardSettings settings = _settings.Current;
        bool isFirst;
        lock (_lock)
        {
            if (_watchers >= settings.MaxWatchers)
            {
                return null;
            }

            isFirst = _watchers++ == 0;
            if (isFirst)
            {
                ArmUnderLock(settings.SampleInterval);
            }
        }

        if (isFirst)
        {
            // What is kept from an earlier watch is old news, unless that ended just now.
            Latest();
        }

        return new Watcher(this);
    }

    /// <summary>The newest sample that is newer than a version, as soon as there is one.</summary>
    public async ValueTask<DashboardSample> NextAsync(long after, CancellationToken cancellationToken)
    {
        while (true)
        {
            Tick tick = _tick;
            if (tick.Sample is { } sample && sample.Version > after)
            {
                return sample;
            }

            await tick.Next.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>A sample younger than the interval, taken now if there is none: for a single question. A crowd that asks costs no more than one that watches.</summary>
    public DashboardSample Latest()
    {
        Tick tick = _tick;
        if (IsYoung(tick))
        {
            return tick.Sample!;
        }

        lock (_sampling)
        {
            tick = _tick; // who waited for the lock has waited for a sample
            return IsYoung(tick) ? tick.Sample! : SampleUnderLock();
        }
    }

    /// <summary>Takes a sample at once.</summary>
    public DashboardSample SampleNow()
    {
        lock (_sampling)
        {
            return SampleUnderLock();
        }
    }

    /// <summary>Takes a sample of what a request has just changed. Not in that request's flow: within it the features stay what they were when it first looked.</summary>
    public Task SampleChangeAsync()
    {
        using (ExecutionContext.SuppressFlow())
        {
            return Task.Run(SampleNow);
        }
    }

    public void Dispose() => _timer.Dispose();

    private void OnTimer()
    {
        lock (_lock)
        {
            if (_watchers == 0)
            {
                return;
            }

            ArmUnderLock(_settings.Current.SampleInterval);
        }

        // A sample that takes longer than the interval is not waited for by a second thread.
        if (_sampling.TryEnter())
        {
            try
            {
                SampleUnderLock();
            }
            finally
            {
                _sampling.Exit();
            }
        }
    }

    private void ArmUnderLock(TimeSpan interval)
    {
        if (_running != interval)
        {
            _running = interval;
            _timer.Change(interval, interval);
        }
    }

    private void Leave()
    {
        lock (_lock)
        {
            if (--_watchers == 0)
            {
                ArmUnderLock(Timeout.InfiniteTimeSpan);
            }
        }
    }

    private bool IsYoung(Tick tick) => tick.Sample is not null && _time.GetElapsedTime(tick.At) < _settings.Current.SampleInterval;

    private DashboardSample SampleUnderLock()
    {
        long at = _time.GetTimestamp();
        var snapshot = new DashboardSnapshot
        {
            Now = _time.GetUtcNow(),
            UptimeSeconds = _journal.Uptime.TotalSeconds,
        };
        foreach (IDashboardPanel panel in _panels)
        {
            snapshot = ReadUnderLock(panel, snapshot);
        }

        DegradationSnapshot? features = _degradation?.Snapshot;
        snapshot = snapshot with { Findings = DashboardFindings.Of(snapshot, features) };
        RememberUnderLock(snapshot);
        Tick before = _tick;
        var sample = new DashboardSample(
            (before.Sample?.Version ?? 0) + 1,
            snapshot,
            JsonSerializer.SerializeToUtf8Bytes(snapshot, DashboardJson.Default.DashboardSnapshot),
            features,
            AuditUnderLock(),
            [.. _history]);
        _tick = new Tick(sample, at);
        before.Next.TrySetResult();
        return sample;
    }

    private DashboardSnapshot ReadUnderLock(IDashboardPanel panel, DashboardSnapshot snapshot)
    {
        try
        {
            snapshot = panel.Read(snapshot);
            _failing.Remove(panel.Area);
            return snapshot;
        }
        catch (Exception exception)
        {
            // One block that cannot be read must not blind the page for the others.
            if (_failing.Add(panel.Area))
            {
                DashboardLog.PanelFailed(_logger, panel.Area, exception);
            }

            return snapshot with { Unreadable = [.. snapshot.Unreadable, $"{panel.Area}: {exception.GetType().Name}"] };
        }
    }

    /// <summary>Commands and what ended by itself, newest first; the same array as before when nothing is new.</summary>
    private AuditEntry[] AuditUnderLock()
    {
        IReadOnlyList<OverrideAuditEntry> commands = _degradation?.RecentOverrides ?? [];
        AuditEntry[] ended = _journal.Ended;
        AuditEntry[] audit = [.. commands.Reverse().Select(Entry).Concat(ended).OrderByDescending(entry => entry.At).Take(MaxAudit)];
        return audit.AsSpan().SequenceEqual(_audit) ? _audit : _audit = audit;

        static AuditEntry Entry(OverrideAuditEntry entry) => new(
            entry.At,
            entry.Command.Who,
            entry.Command.State?.ToString() ?? "override lifted",
            entry.Command.Feature,
            entry.Command.Reason,
            entry.Command.State is null ? null : entry.Command.ExpiresAt);
    }

    private void RememberUnderLock(DashboardSnapshot snapshot)
    {
        long now = snapshot.Now.ToUnixTimeMilliseconds();
        if (snapshot.Pressure is { } pressure)
        {
            _history.Enqueue(new PressurePoint(now, pressure.Signals.ToDictionary(signal => signal.Name, signal => signal.Value, StringComparer.Ordinal)));
        }

        long oldest = now - (long)_settings.Current.History.TotalMilliseconds;
        while (_history.TryPeek(out PressurePoint? first) && (first.T < oldest || first.T > now))
        {
            _history.Dequeue();
        }
    }

    /// <summary>A sample, and what is completed when it has been superseded.</summary>
    private sealed class Tick(DashboardSample? sample, long at)
    {
        public DashboardSample? Sample => sample;

        /// <summary>When it was taken.</summary>
        public long At => at;

        public TaskCompletionSource Next { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private sealed class Watcher(DashboardHub owner) : IDisposable
    {
        private int _disposed;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _disposed, 1) == 0)
            {
                owner.Leave();
            }
        }
    }
}
