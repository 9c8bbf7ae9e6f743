using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Resilience.Context;

/// <summary>
/// What watches request scopes: metrics, log and leak detector. A scope is watched by the monitor that it began with, or its parent's, or
/// <see cref="Default"/>. Thread-safe.
/// </summary>
public sealed class ScopeMonitor : IDisposable
{
    private static readonly ScopeMonitor BuiltIn = new();
    private static ScopeMonitor? hosted;

    private readonly Meter? _ownMeter;
    private readonly CoarseClock _clock;
    private long _failures;

    /// <summary>Makes a monitor.</summary>
    /// <param name="leaks">When a scope counts as leaked; <see langword="null"/> to look for no leaks.</param>
    /// <param name="loggerFactory">Where to log; nowhere by default.</param>
    /// <param name="meterFactory">Where the metrics belong; a meter of its own by default.</param>
    /// <param name="timeProvider">The clock; the system's by default.</param>
    public ScopeMonitor(LeakSettings? leaks = null, ILoggerFactory? loggerFactory = null, IMeterFactory? meterFactory = null, TimeProvider? timeProvider = null)
    {
        TimeProvider = timeProvider ?? TimeProvider.System;
        _clock = new CoarseClock(TimeProvider);
        Logger = loggerFactory?.CreateLogger("Resilience.Context") ?? NullLogger.Instance;
        _ownMeter = meterFactory is null ? new Meter(ScopeMetrics.MeterName) : null;
        Metrics = new ScopeMetrics(_ownMeter ?? meterFactory!.Create(ScopeMetrics.MeterName));
        Leaks = leaks is { Enabled: true } ? new ScopeLeakDetector(leaks, TimeProvider, Logger, Metrics) : null;
    }

    /// <summary>The monitor of the host that started first in this process; outside of a host, one that only counts.</summary>
    public static ScopeMonitor Default => Volatile.Read(ref hosted) ?? BuiltIn;

    /// <summary>The leak detector; <see langword="null"/> when it is off.</summary>
    public ScopeLeakDetector? Leaks { get; }

    /// <summary>How many owned disposables, token callbacks and tasks nobody joined have thrown.</summary>
    public long Failures => Volatile.Read(ref _failures);

    internal ScopeMetrics Metrics { get; }

    internal ILogger Logger { get; }

    internal TimeProvider TimeProvider { get; }

    /// <summary>Counts a header of a trusted peer that was malformed and is treated as if it were not there.</summary>
    /// <param name="header">The header's name, one of a few; never its value.</param>
    public void NoteRejectedHeader(string header) => Metrics.HeaderRejected(header);

    /// <summary>Counts work that a deadline stopped.</summary>
    /// <param name="stage">Where, one of a few words such as <c>inbound</c>.</param>
    /// <param name="isCallerChosen">Whether the caller chose the deadline.</param>
    public void NoteDeadlineExceeded(string stage, bool isCallerChosen) => Metrics.DeadlineExceeded(stage, isCallerChosen);

    /// <summary>Stops looking for leaks. Scopes that are live go on unwatched.</summary>
    public void Dispose()
    {
        Interlocked.CompareExchange(ref hosted, null, this);
        Leaks?.Dispose();
        _ownMeter?.Dispose();
    }

    /// <summary>Makes this the default monitor, unless there is one already.</summary>
    internal void BecomeDefault() => Interlocked.CompareExchange(ref hosted, this, null);

    internal void Begun(RequestScope scope, ScopeState state, string file, int line)
    {
        Leaks?.Track(scope, state, file, line);
        if (Metrics.IsLifetimeEnabled)
        {
            // Zero says that nobody measures, and a clock of a test may begin there.
            state.Begun = Math.Max(1, _clock.Milliseconds);
            Metrics.Begun();
        }
    }

    internal void Ended(ScopeState state)
    {
        if (state.Slot is { } slot)
        {
            Leaks!.Untrack(state, slot);
        }

        if (state.Begun != 0)
        {
            Metrics.Ended(state.Cause, (_clock.Milliseconds - state.Begun) / 1000.0);
        }
    }

    internal void ChildrenEnded(ScopeState state, int count)
    {
        Metrics.ChildrenEnded(count);
        if (Logger.IsEnabled(LogLevel.Debug))
        {
            string id = state.GetId() ?? "";
            ScopeLog.ChildrenEnded(Logger, id, count);
        }
    }

    internal void OwnedFailed(IDisposable item, Exception exception)
    {
        Metrics.Failed("dispose");
        if (IsNews(out long count))
        {
            string type = item.GetType().Name;
            ScopeLog.OwnedFailed(Logger, type, count, exception);
        }
    }

    internal void CallbackFailed(Exception exception)
    {
        Metrics.Failed("callback");
        if (IsNews(out long count))
        {
            ScopeLog.CallbackFailed(Logger, count, exception);
        }
    }

    internal void TaskFailed(Exception exception)
    {
        Metrics.Failed("task");
        if (IsNews(out _))
        {
            ScopeLog.UnjoinedFailure(Logger, exception);
        }
    }

    // A failure that comes with every request is logged the first ten times, and from then on each time its count has doubled.
    private bool IsNews(out long count)
    {
        count = Interlocked.Increment(ref _failures);
        return count <= 10 || long.IsPow2(count);
    }
}
