using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace Resilience.Pools;

/// <summary>The instruments of all batch writers of one container.</summary>
internal sealed class BatchMetrics
{
    public const string WriterTag = "resilience.batch.name";
    public const string OutcomeTag = "outcome";

    private static readonly Lazy<BatchMetrics> SharedMetrics = new(static () => new BatchMetrics(new Meter(PoolMetrics.MeterName)));

    private readonly ConcurrentDictionary<object, Watched> _writers = new();
    private readonly Counter<long> _items;
    private readonly Histogram<int> _sizes;
    private readonly Histogram<double> _writeTime;

    public BatchMetrics(IMeterFactory factory)
        : this(factory.Create(PoolMetrics.MeterName))
    {
    }

    private BatchMetrics(Meter meter)
    {
        meter.CreateObservableUpDownCounter("resilience.batch.queued", () => _writers.Values.Select(writer => new Measurement<int>(writer.Queued(), new KeyValuePair<string, object?>(WriterTag, writer.Name))), "{item}", "Items that wait to be written.");
        _items = meter.CreateCounter<long>("resilience.batch.items", "{item}", "Items by what became of them: written, abandoned, dropped.");
        _sizes = meter.CreateHistogram<int>("resilience.batch.size", "{item}", "Items in the batches that were written.");
        _writeTime = meter.CreateHistogram<double>("resilience.batch.write_time", "s", "The time that the sink took for a batch, by outcome.");
    }

    /// <summary>For writers that no container made.</summary>
    public static BatchMetrics Shared => SharedMetrics.Value;

    public void Add(object writer, string name, Func<int> queued) => _writers.TryAdd(writer, new Watched(name, queued));

    public void Remove(object writer) => _writers.TryRemove(writer, out _);

    public void Ended(string writer, long items, string outcome) => _items.Add(items, new(WriterTag, writer), new(OutcomeTag, outcome));

    public void Wrote(string writer, int size, TimeSpan time, bool succeeded)
    {
        if (succeeded)
        {
            _sizes.Record(size, new KeyValuePair<string, object?>(WriterTag, writer));
        }

        _writeTime.Record(time.TotalSeconds, new(WriterTag, writer), new(OutcomeTag, succeeded ? "ok" : "failed"));
    }

    private sealed record Watched(string Name, Func<int> Queued);
}
