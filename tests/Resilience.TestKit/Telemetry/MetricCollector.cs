using System.Diagnostics.Metrics;

namespace Resilience.TestKit;

/// <summary>
/// Listens to one meter and keeps every measurement, for assertions. Tags in a question select: a series counts when it has all of
/// them, whatever else it has. Thread-safe.
/// </summary>
public sealed class MetricCollector : IDisposable
{
    private readonly Lock _lock = new(); // guards _instruments, _measurements
    private readonly Dictionary<string, Instrument> _instruments = new(StringComparer.Ordinal);
    private readonly Dictionary<string, List<Measured>> _measurements = new(StringComparer.Ordinal);
    private readonly MeterListener _listener = new();

    /// <summary>Starts listening.</summary>
    /// <param name="meterName">The meter's name, such as <c>Resilience.Pools</c>.</param>
    /// <param name="factory">Only meters of this factory, so that tests side by side do not hear one another; any by default.</param>
    public MetricCollector(string meterName, IMeterFactory? factory = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(meterName);
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Name == meterName && (factory is null || ReferenceEquals(instrument.Meter.Scope, factory)))
            {
                lock (_lock)
                {
                    _instruments[instrument.Name] = instrument;
                }

                listener.EnableMeasurementEvents(instrument);
            }
        };
        _listener.SetMeasurementEventCallback<byte>((instrument, value, tags, _) => Add(instrument, value, tags));
        _listener.SetMeasurementEventCallback<short>((instrument, value, tags, _) => Add(instrument, value, tags));
        _listener.SetMeasurementEventCallback<int>((instrument, value, tags, _) => Add(instrument, value, tags));
        _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Add(instrument, value, tags));
        _listener.SetMeasurementEventCallback<float>((instrument, value, tags, _) => Add(instrument, value, tags));
        _listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Add(instrument, value, tags));
        _listener.SetMeasurementEventCallback<decimal>((instrument, value, tags, _) => Add(instrument, (double)value, tags));
        _listener.Start();
    }

    /// <summary>The instruments of the meter that have been published, by name.</summary>
    public IReadOnlyDictionary<string, Instrument> Instruments
    {
        get
        {
            lock (_lock)
            {
                return new Dictionary<string, Instrument>(_instruments, StringComparer.Ordinal);
            }
        }
    }

    /// <summary>Asks every observable instrument for its value now.</summary>
    public void Observe() => _listener.RecordObservableInstruments();

    /// <summary>The sum of what was added: the value of a counter or an up-down counter.</summary>
    /// <param name="instrument">The instrument's name.</param>
    /// <param name="tags">The tags that select.</param>
    public double Sum(string instrument, params ReadOnlySpan<(string Name, object? Value)> tags) => Select(instrument, tags).Sum(measured => measured.Value);

    /// <summary>How many measurements there were.</summary>
    /// <inheritdoc cref="Sum"/>
    public int Count(string instrument, params ReadOnlySpan<(string Name, object? Value)> tags) => Select(instrument, tags).Count;

    /// <summary>The newest measurement, or <see langword="null"/>: the value of a gauge after <see cref="Observe"/>.</summary>
    /// <inheritdoc cref="Sum"/>
    public double? Last(string instrument, params ReadOnlySpan<(string Name, object? Value)> tags) =>
        Select(instrument, tags) is [.., var last] ? last.Value : null;

    /// <summary>Every measurement, oldest first: the samples of a histogram.</summary>
    /// <inheritdoc cref="Sum"/>
    public IReadOnlyList<double> Samples(string instrument, params ReadOnlySpan<(string Name, object? Value)> tags) =>
        [.. Select(instrument, tags).Select(measured => measured.Value)];

    /// <summary>The different values that a tag has had on an instrument, for "the tags are bounded".</summary>
    /// <param name="instrument">The instrument's name.</param>
    /// <param name="tag">The tag's name.</param>
    public IReadOnlyCollection<object?> TagValues(string instrument, string tag) =>
        Select(instrument, []).Where(measured => measured.Tags.ContainsKey(tag)).Select(measured => measured.Tags[tag]).ToHashSet();

    /// <summary>Forgets all measurements.</summary>
    public void Clear()
    {
        lock (_lock)
        {
            _measurements.Clear();
        }
    }

    /// <summary>Stops listening; what was measured can still be read.</summary>
    public void Dispose() => _listener.Dispose();

    private void Add(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        var copy = new Dictionary<string, object?>(tags.Length, StringComparer.Ordinal);
        foreach ((string name, object? tag) in tags)
        {
            copy[name] = tag;
        }

        lock (_lock)
        {
            if (!_measurements.TryGetValue(instrument.Name, out List<Measured>? list))
            {
                _measurements[instrument.Name] = list = [];
            }

            list.Add(new Measured(value, copy));
        }
    }

    private List<Measured> Select(string instrument, ReadOnlySpan<(string Name, object? Value)> tags)
    {
        lock (_lock)
        {
            var selected = new List<Measured>();
            foreach (Measured measured in _measurements.GetValueOrDefault(instrument) ?? [])
            {
                if (Has(measured.Tags, tags))
                {
                    selected.Add(measured);
                }
            }

            return selected;
        }
    }

    private static bool Has(Dictionary<string, object?> has, ReadOnlySpan<(string Name, object? Value)> wanted)
    {
        foreach ((string name, object? value) in wanted)
        {
            if (!has.TryGetValue(name, out object? actual) || !Equals(actual, value))
            {
                return false;
            }
        }

        return true;
    }

    private sealed record Measured(double Value, Dictionary<string, object?> Tags);
}
