using System.Diagnostics.Metrics;

namespace Resilience.Context;

/// <summary>The instruments of this package. Nothing is measured that nobody listens to.</summary>
internal sealed class ScopeMetrics
{
    /// <summary>The name of the meter and of the activity source.</summary>
    public const string MeterName = "Resilience.Context";

    private readonly UpDownCounter<long> _active;
    private readonly Histogram<double> _duration;
    private readonly Counter<long> _leaks;
    private readonly Counter<long> _childrenEnded;
    private readonly Counter<long> _failures;
    private readonly Counter<long> _deadlines;
    private readonly Counter<long> _headers;
    private readonly Counter<long> _items;
    private readonly Histogram<double> _wait;
    private readonly Histogram<double> _work;

    public ScopeMetrics(Meter meter)
    {
        Meter = meter;
        _active = meter.CreateUpDownCounter<long>("resilience.scope.active", "{scope}", "Request scopes that have begun and not ended.");
        _duration = meter.CreateHistogram<double>("resilience.scope.duration", "s", "How long request scopes lived, by cause of their end.");
        _leaks = meter.CreateCounter<long>("resilience.scope.leaks", "{scope}", "Request scopes that nobody ended, by kind.");
        _childrenEnded = meter.CreateCounter<long>("resilience.scope.children_ended", "{scope}", "Child scopes that were still live when their parent ended.");
        _failures = meter.CreateCounter<long>("resilience.scope.failures", "{failure}", "Exceptions thrown by owned disposables, token callbacks and joined tasks.");
        _deadlines = meter.CreateCounter<long>("resilience.deadline.exceeded", "{request}", "Requests and calls refused or stopped because their deadline had passed or too little was left.");
        _headers = meter.CreateCounter<long>("resilience.scope.headers_rejected", "{header}", "Headers from trusted peers that were malformed, by header.");
        _items = meter.CreateCounter<long>("resilience.background.items", "{item}", "Background work, by queue and outcome.");
        _wait = meter.CreateHistogram<double>("resilience.background.wait", "s", "How long background work waited for a worker.");
        _work = meter.CreateHistogram<double>("resilience.background.duration", "s", "How long background work ran.");
    }

    public Meter Meter { get; }

    public bool IsLifetimeEnabled => _active.Enabled || _duration.Enabled;

    public bool IsWorkEnabled => _wait.Enabled || _work.Enabled;

    public void Begun() => _active.Add(1);

    public void Ended(ScopeCause cause, double seconds)
    {
        _active.Add(-1);
        _duration.Record(seconds, Tag("resilience.scope.cause", CauseName(cause)));
    }

    public void Leaked(ScopeLeakKind kind, long count) => _leaks.Add(count, Tag("resilience.scope.leak.kind", kind switch
    {
        ScopeLeakKind.Overdue => "overdue",
        ScopeLeakKind.Expired => "expired",
        _ => "collected",
    }));

    public void ChildrenEnded(int count) => _childrenEnded.Add(count);

    public void Failed(string source) => _failures.Add(1, Tag("resilience.scope.failure.source", source));

    public void DeadlineExceeded(string stage, bool isCallerChosen) =>
        _deadlines.Add(1, Tag("resilience.deadline.stage", stage), Tag("resilience.deadline.chosen_by", isCallerChosen ? "caller" : "self"));

    public void HeaderRejected(string header) => _headers.Add(1, Tag("resilience.scope.header", header));

    public void Item(string queue, string outcome) => _items.Add(1, Tag("resilience.background.queue", queue), Tag("resilience.background.outcome", outcome));

    public void Waited(string queue, TimeSpan wait) => _wait.Record(wait.TotalSeconds, Tag("resilience.background.queue", queue));

    public void Worked(string queue, TimeSpan duration) => _work.Record(duration.TotalSeconds, Tag("resilience.background.queue", queue));

    private static KeyValuePair<string, object?> Tag(string name, string value) => new(name, value);

    private static string CauseName(ScopeCause cause) => cause switch
    {
        ScopeCause.Ended => "ended",
        ScopeCause.Client => "client",
        ScopeCause.Deadline => "deadline",
        ScopeCause.Shutdown => "shutdown",
        ScopeCause.Parent => "parent",
        ScopeCause.Expired => "expired",
        _ => "none",
    };
}
