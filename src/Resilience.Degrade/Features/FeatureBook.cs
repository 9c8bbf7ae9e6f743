using Resilience.Context;
using Microsoft.Extensions.Logging;
using Resilience.Settings;

namespace Resilience.Degrade;

/// <summary>
/// Keeps the decisions: takes settings, pressure and overrides in, and puts whole snapshots out, each with one volatile write, so that no
/// reader sees half a change.
/// </summary>
internal sealed class FeatureBook : IDisposable
{
    private readonly Lock _lock = new(); // guards everything below but the volatile reads of _snapshot
    private readonly Queue<FeatureChange> _untold = new();
    private readonly Dictionary<string, ActiveOverride> _overrides = new(StringComparer.OrdinalIgnoreCase); // by name: a feature may be declared later
    private readonly List<FallbackGate> _gates = [];
    private readonly HashSet<string> _warned = new(StringComparer.OrdinalIgnoreCase);
    private readonly List<Action<FeatureChange>> _listeners = [];
    private readonly TimeProvider _time;
    private readonly DegradeMetrics _metrics;
    private readonly ILogger _logger;
    private readonly string _path;
    private readonly ITimer _expiry;
    private readonly IDisposable _subscription;
    private DegradeSettings _settings;
    private PressureReading _pressure = PressureReading.Calm;
    private FeatureRule[] _rules = [];
    private int _sparedByLimit;
    private bool _isTelling; // whether somebody calls the listeners: one at a time, so that all are told in order
    private volatile DegradationSnapshot _snapshot;

    public FeatureBook(LiveSettings<DegradeSettings> settings, TimeProvider time, DegradeMetrics metrics, ILogger<FeatureBook> logger)
    {
        _snapshot = new DegradationSnapshot(this, 0, []);
        _settings = settings.Current;
        _path = settings.Path;
        _time = time;
        _metrics = metrics;
        _logger = logger;
        using (ExecutionContext.SuppressFlow())
        {
            _expiry = time.CreateTimer(static state => ((FeatureBook)state!).Refresh(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }

        Refresh();
        metrics.ObserveFeatures(() => _snapshot);
        _subscription = settings.OnChange(Take);
        Take(settings.Current); // a reload between the first line and the subscription
    }

    public DegradationSnapshot Snapshot => _snapshot;

    /// <summary>The slot of a feature, which may have been declared after the snapshot; it is then the same from the first time it is asked for.</summary>
    public FeatureSlot SlotOf(DegradationSnapshot snapshot, Feature feature)
    {
        FeatureSlot[] slots = snapshot.Slots;
        if ((uint)feature.Index < (uint)slots.Length)
        {
            return slots[feature.Index];
        }

        Refresh();
        return snapshot.Complete(_snapshot.Slots)[feature.Index];
    }

    /// <summary>Takes new settings.</summary>
    public void Take(DegradeSettings settings) => Change(
        static (book, settings) =>
        {
            if (!ReferenceEquals(book._settings, settings))
            {
                book._settings = settings;
                book._rules = [];
            }
        },
        settings);

    /// <summary>Takes a new reading of the pressure.</summary>
    public void Take(PressureReading reading) => Change(static (book, reading) => book._pressure = reading, reading);

    /// <summary>
    /// Sets or, with no state, lifts the override of a feature, which need not be declared yet. Listeners are told by the <see cref="Tell()"/> that must
    /// follow, once the caller holds no lock any more.
    /// </summary>
    public void Put(string feature, ActiveOverride? command)
    {
        lock (_lock)
        {
            if (command is null)
            {
                _overrides.Remove(feature);
            }
            else
            {
                _overrides[feature] = command;
            }

            RecomputeUnderLock();
        }
    }

    /// <summary>Looks again: at features declared since, and at what has ended.</summary>
    public void Refresh() => Change(static (_, _) => { }, 0);

    public IDisposable OnChange(Action<FeatureChange> listener)
    {
        lock (_lock)
        {
            _listeners.Add(listener);
        }

        return new Subscription(this, listener);
    }

    /// <summary>Warns of configured names that no feature has, once each. Called when the host has started: by then features are declared.</summary>
    public void WarnOfUnknownNames()
    {
        string[] unknown;
        lock (_lock)
        {
            unknown = [.. _settings.Features.Keys.Where(name => !Feature.TryGet(name, out _) && _warned.Add(name))];
        }

        foreach (string name in unknown)
        {
            string path = $"{_path}:{nameof(DegradeSettings.Features)}:{name}";
            if (NearestName.Find(name, Feature.Declared.Select(feature => feature.Name)) is { } nearest)
            {
                DegradeLog.FeatureUnknownButNear(_logger, path, nearest);
            }
            else
            {
                DegradeLog.FeatureUnknown(_logger, path);
            }
        }
    }

    public void Dispose()
    {
        _subscription.Dispose();
        _expiry.Dispose();
    }

    private void Change<T>(Action<FeatureBook, T> change, T argument)
    {
        lock (_lock)
        {
            change(this, argument);
            RecomputeUnderLock();
        }

        Tell();
    }

    private void RecomputeUnderLock()
    {
        Feature[] features = Feature.Declared;
        PrepareUnderLock(features);
        DateTimeOffset now = _time.GetUtcNow();
        DropEndedUnderLock(now);
        FeatureState[] automatic = AutomaticUnderLock(now);
        FeatureSlot[] before = _snapshot.Slots;
        var slots = new FeatureSlot[features.Length];
        long revision = _snapshot.Revision + 1;
        bool changed = before.Length != slots.Length;
        for (int i = 0; i < slots.Length; i++)
        {
            FeatureSlot? old = i < before.Length ? before[i] : null;
            slots[i] = SlotUnderLock(_rules[i], automatic[i], old, _gates[i], revision, now);
            FeatureDecision was = old?.Decision ?? Declared(features[i], revision, now);
            if (!was.SaysTheSameAs(slots[i].Decision))
            {
                changed = true;
                _untold.Enqueue(new FeatureChange(was, slots[i].Decision));
            }

            changed |= !ReferenceEquals(old?.Rule, _rules[i]) || !ReferenceEquals(old.Unshared, slots[i].Unshared);
        }

        if (changed)
        {
            _snapshot = new DegradationSnapshot(this, revision, slots);
        }

        ArmUnderLock(now);
    }

    private void PrepareUnderLock(Feature[] features)
    {
        while (_gates.Count < features.Length)
        {
            _gates.Add(new FallbackGate());
        }

        if (_rules.Length < features.Length)
        {
            _rules = [.. features.Select((feature, i) => i < _rules.Length ? _rules[i]
                : new FeatureRule(feature, _settings.Features.TryGetValue(feature.Name, out FeatureSettings? own) ? own : new FeatureSettings()))];
        }
    }

    private void DropEndedUnderLock(DateTimeOffset now)
    {
        foreach ((string feature, ActiveOverride active) in _overrides)
        {
            if (active.Deadline.IsExpired)
            {
                _overrides.Remove(feature);
                DegradeLog.OverrideEnded(_logger, feature, active.State, active.Who, now - active.Since);
            }
        }
    }

    /// <summary>What pressure asks of each feature, with no more of them off than may be.</summary>
    private FeatureState[] AutomaticUnderLock(DateTimeOffset now)
    {
        var states = new FeatureState[_rules.Length];
        var off = new List<FeatureRule>();
        foreach (FeatureRule rule in _rules)
        {
            FeatureState state = FeatureRules.Automatic(_pressure.For(rule.Triggers).Level, rule.DegradeAt, rule.OffAt);
            states[rule.Feature.Index] = state;
            if (state == FeatureState.Off && rule.Feature.Default != FeatureState.Off && ModeAt(rule, now) == FeatureMode.Auto && !_overrides.ContainsKey(rule.Feature.Name))
            {
                off.Add(rule);
            }
        }

        int limit = _settings.MaxAutomaticOff;
        int spared = Math.Max(0, off.Count - limit);
        if (spared > 0)
        {
            foreach (FeatureRule rule in off.OrderByDescending(rule => rule.Priority).ThenBy(rule => rule.Feature.Index).Skip(limit))
            {
                states[rule.Feature.Index] = FeatureState.Degraded;
            }
        }

        if (spared > _sparedByLimit)
        {
            DegradeLog.TooManyOff(_logger, off.Count, limit, spared);
        }

        _sparedByLimit = spared;
        return states;
    }

    private FeatureSlot SlotUnderLock(FeatureRule rule, FeatureState automatic, FeatureSlot? old, FallbackGate gate, long revision, DateTimeOffset now)
    {
        Feature feature = rule.Feature;
        _overrides.TryGetValue(feature.Name, out ActiveOverride? active);
        FeatureMode mode = ModeAt(rule, now);
        (PressureLevel level, string signal) = _pressure.For(rule.Triggers);
        FeatureDecision decision = Keep(old?.Decision, Make(active, mode));
        FeatureDecision unshared = Keep(old?.Unshared, Make(null, FeatureMode.Auto));
        return old is not null && ReferenceEquals(old.Decision, decision) && ReferenceEquals(old.Unshared, unshared) && ReferenceEquals(old.Rule, rule)
            ? old
            : new FeatureSlot(decision, unshared, old?.Exempt ?? Declared(feature, revision, now), rule, gate);

        FeatureDecision Make(ActiveOverride? manual, FeatureMode configured)
        {
            (FeatureState state, DecisionSource source) = FeatureRules.Decide(manual?.State, configured, automatic, feature.Default);
            return source switch
            {
                DecisionSource.Override => new(feature, state, source, $"{manual!.Reason} ({manual.Who})", level, revision, manual.Since, manual.Until),
                DecisionSource.Configuration => new(feature, state, source, rule.Reason ?? "configured " + configured.ToString(), level, revision, now, rule.Until),
                DecisionSource.Automatic => new(feature, state, source, $"{signal} is {level.ToString()}", level, revision, now, null),
                _ => Declared(feature, revision, now),
            };
        }
    }

    private static FeatureDecision Keep(FeatureDecision? old, FeatureDecision made) => old is not null && old.SaysTheSameAs(made) ? old : made;

    private static FeatureMode ModeAt(FeatureRule rule, DateTimeOffset now) => rule.Until is { } until && until <= now ? FeatureMode.Auto : rule.Mode;

    private static FeatureDecision Declared(Feature feature, long revision, DateTimeOffset now) =>
        new(feature, feature.Default, DecisionSource.Default, "declared", PressureLevel.Normal, revision, now, null);

    /// <summary>Sets the timer to the next moment at which something ends by itself.</summary>
    private void ArmUnderLock(DateTimeOffset now)
    {
        TimeSpan next = Timeout.InfiniteTimeSpan;
        foreach (ActiveOverride active in _overrides.Values)
        {
            next = Shorter(next, active.Deadline.Remaining);
        }

        foreach (FeatureRule rule in _rules)
        {
            if (rule.Until is { } until && until > now)
            {
                next = Shorter(next, until - now);
            }
        }

        // A timer takes at most some 49 days; one that comes early arms itself again.
        _expiry.Change(next > TimeSpan.FromDays(1) ? TimeSpan.FromDays(1) : next, Timeout.InfiniteTimeSpan);

        static TimeSpan Shorter(TimeSpan left, TimeSpan right) => left == Timeout.InfiniteTimeSpan || right < left ? right : left;
    }

    /// <summary>
    /// Tells listeners what has changed, in order. While somebody does so, be it further up this very stack, the rest is left to them: to wait would
    /// turn the order round, or two who wait for each other into a deadlock.
    /// </summary>
    public void Tell()
    {
        while (true)
        {
            FeatureChange? change;
            Action<FeatureChange>[] listeners;
            lock (_lock)
            {
                if (_isTelling || !_untold.TryDequeue(out change))
                {
                    return;
                }

                _isTelling = true;
                listeners = [.. _listeners];
            }

            try
            {
                Tell(change, listeners);
            }
            finally
            {
                lock (_lock)
                {
                    _isTelling = false;
                }
            }
        }
    }

    private void Tell(FeatureChange change, Action<FeatureChange>[] listeners)
    {
        FeatureState before = change.Before.State;
        FeatureState after = change.After.State;
        if (after != before)
        {
            _metrics.Transition(change);
            if (after > before)
            {
                DegradeLog.FeatureLowered(_logger, change.Feature.Name, before, after, change.After.Source, change.After.Reason);
            }
            else
            {
                DegradeLog.FeatureRestored(_logger, change.Feature.Name, before, after, change.After.Source, change.After.Reason);
            }
        }

        foreach (Action<FeatureChange> listener in listeners)
        {
            try
            {
                listener(change);
            }
            catch (Exception exception)
            {
                DegradeLog.ListenerFailed(_logger, change.Feature.Name, exception);
            }
        }
    }

    private sealed class Subscription(FeatureBook owner, Action<FeatureChange> listener) : IDisposable
    {
        public void Dispose()
        {
            lock (owner._lock)
            {
                owner._listeners.Remove(listener);
            }
        }
    }
}

/// <summary>An override in force.</summary>
/// <param name="Feature">The name of the feature.</param>
/// <param name="State">What it sets.</param>
/// <param name="Reason">Why.</param>
/// <param name="Who">Who set it.</param>
/// <param name="Since">When it was set, by the wall clock.</param>
/// <param name="Until">When it ends, by the wall clock; for display.</param>
/// <param name="Deadline">When it ends, by the monotonic clock; what counts.</param>
internal sealed record ActiveOverride(string Feature, FeatureState State, string Reason, string Who, DateTimeOffset Since, DateTimeOffset Until, Deadline Deadline);
