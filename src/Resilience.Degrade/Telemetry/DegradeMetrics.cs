using Resilience.Context;
using System.Diagnostics.Metrics;

namespace Resilience.Degrade;

/// <summary>The instruments of this package.</summary>
internal sealed class DegradeMetrics : IDisposable
{
    public const string MeterName = "Resilience.Degrade";

    private readonly Meter _meter;
    private readonly Counter<long> _transitions;
    private readonly Counter<long> _fallbacks;
    private readonly Histogram<double> _fallbackDuration;

    public DegradeMetrics(IMeterFactory factory)
    {
        _meter = factory.Create(MeterName);
        _transitions = _meter.CreateCounter<long>("resilience.degrade.feature.transitions", "{transition}", "Changes of the state of features.");
        _fallbacks = _meter.CreateCounter<long>("resilience.degrade.fallbacks", "{fallback}", "Fallbacks by feature, cause and outcome.");
        _fallbackDuration = _meter.CreateHistogram("resilience.degrade.fallback.duration", "s", "How long fallbacks take.", null,
            new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1] });
    }

    public Meter Meter => _meter;

    public bool MeasuresFallbacks => _fallbackDuration.Enabled;

    public void ObserveFeatures(Func<DegradationSnapshot> snapshot) =>
        _meter.CreateObservableGauge(
            "resilience.degrade.feature.state",
            () => snapshot().Decisions.Select(decision => new Measurement<int>((int)decision.State, new KeyValuePair<string, object?>("resilience.feature.name", decision.Feature.Name))),
            "{state}",
            "The state of features: 0 normal, 1 degraded, 2 off.");

    public void ObservePressure(Func<IReadOnlyList<PressureMonitor.Watched>> signals)
    {
        _meter.CreateObservableGauge(
            "resilience.degrade.pressure.level",
            () => signals().Select(watched => new Measurement<int>((int)watched.Level, new KeyValuePair<string, object?>("resilience.signal.name", watched.Signal.Name))),
            "{level}",
            "The level of each signal: 0 normal, 1 elevated, 2 high, 3 critical.");
        _meter.CreateObservableGauge(
            "resilience.degrade.pressure.value",
            () => signals().Select(watched => new Measurement<double>(watched.Value, new KeyValuePair<string, object?>("resilience.signal.name", watched.Signal.Name))),
            null,
            "The value of each signal: a share from 0 to 1, or seconds.");
    }

    public void ObserveAdmission(AdmissionController admission)
    {
        _meter.CreateObservableUpDownCounter("resilience.admission.inside", () => admission.Inside, "{request}", "How many requests are inside.");
        _meter.CreateObservableGauge("resilience.admission.hot", () => admission.IsHot ? 1 : 0, null, "1 while the process is taken to be overloaded.");
        _meter.CreateObservableGauge(
            "resilience.admission.limit",
            () => Enum.GetValues<Priority>().Select(priority => new Measurement<int>(admission.LimitOf(priority), new KeyValuePair<string, object?>("resilience.priority", Text(priority)))),
            "{request}",
            "How many may be inside when a request of a priority arrives.");
        _meter.CreateObservableCounter("resilience.admission.requests", () => Requests(admission), "{request}", "Requests by priority and answer; the admitted are counted when they leave.");
    }

    public void Transition(FeatureChange change)
    {
        if (_transitions.Enabled)
        {
            _transitions.Add(
                1,
                new("resilience.feature.name", change.Feature.Name),
                new("resilience.feature.from", Text(change.Before.State)),
                new("resilience.feature.to", Text(change.After.State)));
        }
    }

    public void Fallback(Feature feature, string cause, string outcome, double seconds)
    {
        if (_fallbacks.Enabled)
        {
            _fallbacks.Add(1, new("resilience.feature.name", feature.Name), new("resilience.fallback.cause", cause), new("resilience.outcome", outcome));
        }

        if (_fallbackDuration.Enabled)
        {
            _fallbackDuration.Record(seconds, new("resilience.feature.name", feature.Name), new("resilience.outcome", outcome));
        }
    }

    public void Dispose() => _meter.Dispose();

    private static string Text(FeatureState state) => state switch
    {
        FeatureState.Normal => "normal",
        FeatureState.Degraded => "degraded",
        _ => "off",
    };

    private static IEnumerable<Measurement<long>> Requests(AdmissionController admission) =>
        from priority in Enum.GetValues<Priority>()
        from result in Enum.GetValues<AdmissionResult>()
        select new Measurement<long>(
            admission.Count(priority, result),
            new KeyValuePair<string, object?>("resilience.priority", Text(priority)),
            new KeyValuePair<string, object?>("resilience.outcome", result switch
            {
                AdmissionResult.Admitted => "admitted",
                AdmissionResult.RefusedByLoad => "refused_load",
                _ => "refused_pressure",
            }));

    private static string Text(Priority priority) => priority switch
    {
        Priority.Critical => "critical",
        Priority.Normal => "normal",
        Priority.Low => "low",
        _ => "bulk",
    };
}
