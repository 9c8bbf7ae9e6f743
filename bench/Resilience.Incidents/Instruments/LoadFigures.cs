namespace Resilience.Incidents.Instruments;

/// <summary>The figures of some requests. Latencies are in milliseconds from the time at which each request was due, refusals apart.</summary>
internal sealed class LoadFigures
{
    private readonly int[] _replies = new int[Enum.GetValues<Reply>().Length];
    private readonly LatencyHistogram _latency = new();
    private readonly LatencyHistogram _refusals = new();

    public required double Seconds { get; init; }

    public int Sent { get; private set; }

    public int Ok => _replies[(int)Reply.Ok];

    public int Degraded => _replies[(int)Reply.Degraded];

    public int Refused => _replies[(int)Reply.Refused];

    public int Wrong => _replies[(int)Reply.Wrong];

    /// <summary>Errors and everything that has never been answered.</summary>
    public int Failed => Sent - Ok - Degraded - Refused - Wrong;

    /// <summary>Useful answers as a share of what was asked.</summary>
    public double Success => Sent == 0 ? 1 : (double)(Ok + Degraded) / Sent;

    /// <summary>Useful answers per second.</summary>
    public double Goodput => (Ok + Degraded) / Seconds;

    public double Mean => _latency.MeanMilliseconds;

    public double P50 => _latency.Percentile(0.50);

    public double P99 => _latency.Percentile(0.99);

    public double P999 => _latency.Percentile(0.999);

    public double Max => _latency.Percentile(1);

    public double RefusalP99 => _refusals.Percentile(0.99);

    internal void Add(int sent, int[] replies, LatencyHistogram latency, LatencyHistogram refusals)
    {
        Sent += sent;
        for (int i = 0; i < replies.Length; i++)
        {
            _replies[i] += Volatile.Read(ref replies[i]);
        }

        _latency.Merge(latency);
        _refusals.Merge(refusals);
    }
}
