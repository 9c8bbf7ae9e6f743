using System.Collections.Concurrent;
using System.Diagnostics;
using System.Numerics;
using Microsoft.Extensions.Logging;

namespace Resilience.Context;

/// <summary>
/// Finds request scopes that nobody ends: reports those that are too old or were collected without an end, and ends by force those that
/// are far too old, so that what they carry can be collected even if nobody ever disposes them.
/// </summary>
/// <remarks>
/// Live scopes stand in a striped registry of weak references; one timer, which captures no execution context, looks through it. A scope
/// within its deadline is never touched, however old, nor is one that began as long-lived. Thread-safe.
/// </remarks>
public sealed class ScopeLeakDetector : IDisposable
{
    private readonly LeakStripe[] _stripes;
    private readonly ITimer _timer;
    private readonly CoarseClock _clock;
    private readonly ILogger _logger;
    private readonly ScopeMetrics _metrics;
    private volatile ConcurrentDictionary<(string File, int Line), bool>? _suspects; // made with the first; only sweeps write it
    private readonly Lock _sweeping = new(); // one sweep at a time; guards nothing else
    private LeakSettings _settings;
    private Action<ScopeLeak>? _listeners;
    private int _sample;

    internal ScopeLeakDetector(LeakSettings settings, TimeProvider timeProvider, ILogger logger, ScopeMetrics metrics)
    {
        _settings = settings;
        _clock = new CoarseClock(timeProvider);
        _logger = logger;
        _metrics = metrics;
        _stripes = new LeakStripe[BitOperations.RoundUpToPowerOf2((uint)Math.Min(Environment.ProcessorCount, 64))];
        for (int index = 0; index < _stripes.Length; index++)
        {
            _stripes[index] = new LeakStripe();
        }

        using (ExecutionContext.SuppressFlow())
        {
            _timer = timeProvider.CreateTimer(static state => ((ScopeLeakDetector)state!).Sweep(), this, settings.SweepInterval, settings.SweepInterval);
        }
    }

    /// <summary>How many scopes are live and watched.</summary>
    public int Live
    {
        get
        {
            int live = 0;
            foreach (LeakStripe stripe in _stripes)
            {
                lock (stripe.Lock)
                {
                    live += stripe.Live;
                }
            }

            return live;
        }
    }

    /// <summary>The oldest live scopes that are watched, for a dashboard.</summary>
    /// <param name="maximum">How many at the most.</param>
    /// <returns>Reports with the kind <see cref="ScopeLeakKind.Overdue"/>, whether or not they are overdue yet; the oldest first.</returns>
    public IReadOnlyList<ScopeLeak> Oldest(int maximum)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(maximum);
        long now = _clock.Milliseconds;
        var live = new List<(RequestScope Scope, long Begun, string File, int Line, StackTrace? Stack)>();
        foreach (LeakStripe stripe in _stripes)
        {
            lock (stripe.Lock)
            {
                foreach (LeakSlot slot in stripe.Slots)
                {
                    if (slot.IsUsed && slot.Scope.TryGetTarget(out RequestScope? scope))
                    {
                        live.Add((scope, slot.Begun, slot.File, slot.Line, slot.Stack));
                    }
                }
            }
        }

        return [.. live.OrderBy(entry => entry.Begun).Take(maximum).Select(entry =>
            new ScopeLeak(ScopeLeakKind.Overdue, entry.Scope.Id, TimeSpan.FromMilliseconds(now - entry.Begun), entry.File, entry.Line, entry.Stack?.ToString()))];
    }

    /// <summary>Calls back for each leak as it is found, on the timer's thread. What the listener throws is logged.</summary>
    /// <param name="listener">What to call.</param>
    /// <returns>Dispose it to be called no more.</returns>
    public IDisposable OnLeak(Action<ScopeLeak> listener)
    {
        ArgumentNullException.ThrowIfNull(listener);
        Change(listeners => listeners + listener);
        return new Subscription(this, listener);
    }

    /// <summary>Stops the timer.</summary>
    public void Dispose() => _timer.Dispose();

    /// <summary>Takes other limits; the interval stays what it was at the start.</summary>
    internal void Apply(LeakSettings settings) => Volatile.Write(ref _settings, settings);

    internal void Track(RequestScope scope, ScopeState state, string file, int line)
    {
        StackTrace? stack = !state.SkipsStack && ShouldKeepStack(file, line) ? new StackTrace(2, fNeedFileInfo: false) : null;
        LeakStripe stripe = _stripes[Thread.GetCurrentProcessorId() & (_stripes.Length - 1)];
        lock (stripe.Lock)
        {
            LeakSlot? slot = stripe.Free;
            if (slot is null)
            {
                slot = new LeakSlot(stripe);
                stripe.Slots.Add(slot);
            }
            else
            {
                stripe.Free = slot.NextFree;
            }

            slot.Begun = _clock.Milliseconds;
            slot.File = file;
            slot.Line = line;
            slot.Stack = stack;
            slot.NextFree = null;
            slot.IsUsed = true;
            slot.Scope.SetTarget(scope);
            stripe.Live++;
            state.Slot = slot;
        }
    }

    /// <summary>Forgets a scope that has ended. If it had been reported, its coming home is worth a line: it was late, and no leak.</summary>
    internal void Untrack(ScopeState state, LeakSlot slot)
    {
        bool wasReported;
        (long Begun, string File, int Line) was;
        lock (slot.Stripe.Lock)
        {
            wasReported = slot.IsReported;
            was = (slot.Begun, slot.File, slot.Line);
            slot.Stripe.FreeUnderLock(slot);
        }

        if (wasReported && state.Cause != ScopeCause.Expired && _logger.IsEnabled(LogLevel.Information))
        {
            string id = state.GetId() ?? "";
            double age = (_clock.Milliseconds - was.Begun) / 1000.0;
            ScopeLog.EndedLate(_logger, id, was.File, was.Line, age);
        }
    }

    internal void Sweep()
    {
        lock (_sweeping)
        {
            LeakSettings settings = Volatile.Read(ref _settings);
            var found = new List<Found>();
            foreach (LeakStripe stripe in _stripes)
            {
                lock (stripe.Lock)
                {
                    FindUnderLock(stripe, settings, found);
                }
            }

            if (found.Count > 0)
            {
                Report(found);
            }
        }
    }

    private void FindUnderLock(LeakStripe stripe, LeakSettings settings, List<Found> found)
    {
        long now = _clock.Milliseconds;
        foreach (LeakSlot slot in stripe.Slots)
        {
            if (!slot.IsUsed)
            {
                continue;
            }

            var age = TimeSpan.FromMilliseconds(now - slot.Begun);
            if (!slot.Scope.TryGetTarget(out RequestScope? scope))
            {
                found.Add(new Found(ScopeLeakKind.Collected, null, age, slot.File, slot.Line, slot.Stack));
                stripe.FreeUnderLock(slot);
            }
            else if (age >= settings.After && scope.State is { IsLongLived: false } state && (state.Deadline.IsNone || state.Deadline.IsExpired))
            {
                // Work that was cancelled at its deadline has some time to come home before it is ended by force.
                bool isExpired = age >= settings.HardExpiry && (state.Deadline.IsNone || state.Deadline.Passed >= settings.After);
                if (isExpired || !slot.IsReported)
                {
                    slot.IsReported = true;
                    found.Add(new Found(isExpired ? ScopeLeakKind.Expired : ScopeLeakKind.Overdue, scope, age, slot.File, slot.Line, slot.Stack));
                }
            }
        }
    }

    private void Report(List<Found> found)
    {
        // Only what this sweep really ended counts: the owner may have come first.
        found.RemoveAll(static leak => leak.Kind == ScopeLeakKind.Expired && !leak.Scope!.TryEnd(ScopeCause.Expired));
        foreach (var group in found.GroupBy(leak => (leak.Kind, leak.File, leak.Line)))
        {
            Found oldest = group.MaxBy(leak => leak.Age);
            int count = group.Count();
            (_suspects ??= new()).TryAdd((oldest.File, oldest.Line), true);
            _metrics.Leaked(oldest.Kind, count);
            string stack = group.FirstOrDefault(leak => leak.Stack is not null).Stack?.ToString() ?? "not kept";
            switch (oldest.Kind)
            {
                case ScopeLeakKind.Overdue:
                    ScopeLog.Overdue(_logger, count, oldest.File, oldest.Line, oldest.Scope!.Id, oldest.Age.TotalSeconds, stack);
                    break;
                case ScopeLeakKind.Expired:
                    ScopeLog.Expired(_logger, count, oldest.File, oldest.Line, oldest.Scope!.Id, oldest.Age.TotalSeconds, stack);
                    break;
                default:
                    ScopeLog.Collected(_logger, count, oldest.File, oldest.Line, stack);
                    break;
            }
        }

        if (Volatile.Read(ref _listeners) is { } listeners)
        {
            Tell(listeners, found);
        }
    }

    private void Tell(Action<ScopeLeak> listeners, List<Found> found)
    {
        foreach (Found leak in found)
        {
            try
            {
                listeners(new ScopeLeak(leak.Kind, leak.Scope?.Id ?? "", leak.Age, leak.File, leak.Line, leak.Stack?.ToString()));
            }
            catch (Exception exception)
            {
                // A listener of somebody else must not stop the sweeps.
                ScopeLog.LeakListenerFailed(_logger, exception);
            }
        }
    }

    private void Change(Func<Action<ScopeLeak>?, Action<ScopeLeak>?> change)
    {
        Action<ScopeLeak>? seen;
        do
        {
            seen = Volatile.Read(ref _listeners);
        }
        while (!ReferenceEquals(Interlocked.CompareExchange(ref _listeners, change(seen), seen), seen));
    }

    private bool ShouldKeepStack(string file, int line)
    {
        int every = Volatile.Read(ref _settings).StackSampling;

        // The counter is not exact under contention, and need not be.
        return (every > 0 && ++_sample % every == 0) || (_suspects is { } suspects && suspects.ContainsKey((file, line)));
    }

    private sealed class Subscription(ScopeLeakDetector owner, Action<ScopeLeak> listener) : IDisposable
    {
        public void Dispose() => owner.Change(listeners => listeners - listener);
    }

    private readonly record struct Found(ScopeLeakKind Kind, RequestScope? Scope, TimeSpan Age, string File, int Line, StackTrace? Stack);
}
