namespace Resilience.Incidents.Instruments;

/// <summary>
/// What happened to the requests, in windows of the time at which each was due: an answer that comes late belongs to the window that
/// it was asked in, as its caller would tell it.
/// </summary>
internal sealed class Timeline
{
    private readonly Cell[,] _cells;
    private readonly List<Probe> _probes = [];

    public Timeline(LoadPlan plan)
    {
        Plan = plan;
        Windows = (int)Math.Ceiling(plan.Duration / plan.Window);
        _cells = new Cell[Windows, plan.Lanes];
        for (int window = 0; window < Windows; window++)
        {
            for (int lane = 0; lane < plan.Lanes; lane++)
            {
                _cells[window, lane] = new Cell();
            }
        }
    }

    public LoadPlan Plan { get; }

    public int Windows { get; }

    /// <summary>The timestamp at which the load began.</summary>
    public long StartedAt { get; set; }

    public IReadOnlyList<Probe> Probes => _probes;

    /// <summary>Adds something to be read once per window by the sampler, such as the number of calls at the source.</summary>
    public Timeline Watch(string name, Func<double> read)
    {
        _probes.Add(new Probe(name, read, new double[Windows]));
        return this;
    }

    /// <summary>Adds a running count; the series is its increase per second.</summary>
    public Timeline WatchRate(string name, Func<long> count)
    {
        long last = 0;
        return Watch(name, () =>
        {
            long now = count();
            double rate = (now - last) / Plan.Window.TotalSeconds;
            last = now;
            return rate;
        });
    }

    public void Sample(int window)
    {
        foreach (Probe probe in _probes)
        {
            probe.Values[window] = probe.Read();
        }
    }

    public void Sent(TimeSpan due, int lane) => Interlocked.Increment(ref CellOf(due, lane).Sent);

    public void Settled(TimeSpan due, int lane, Reply reply, TimeSpan latency)
    {
        Cell cell = CellOf(due, lane);
        Interlocked.Increment(ref cell.Replies[(int)reply]);
        (reply == Reply.Refused ? cell.Refusals : cell.Latency).Add(latency);
    }

    /// <summary>Everything that was due from one time up to another, of one lane or of all.</summary>
    public LoadFigures Slice(TimeSpan from, TimeSpan to, int? lane = null)
    {
        var figures = new LoadFigures { Seconds = (to - from).TotalSeconds };
        for (int window = Math.Max(0, (int)Math.Ceiling(from / Plan.Window)); window < Math.Min(Windows, (int)Math.Ceiling(to / Plan.Window)); window++)
        {
            for (int i = 0; i < Plan.Lanes; i++)
            {
                if (lane is null || lane == i)
                {
                    figures.Add(_cells[window, i].Sent, _cells[window, i].Replies, _cells[window, i].Latency, _cells[window, i].Refusals);
                }
            }
        }

        return figures;
    }

    public LoadFigures All(int? lane = null) => Slice(TimeSpan.Zero, Plan.Duration, lane);

    /// <summary>A point per window, of what a reader makes of its figures.</summary>
    public IReadOnlyList<PlotPoint> Series(Func<LoadFigures, double> read, int? lane = null)
    {
        var points = new List<PlotPoint>();
        for (int window = 0; window < Windows; window++)
        {
            LoadFigures figures = Slice(window * Plan.Window, (window + 1) * Plan.Window, lane);
            if (figures.Sent > 0)
            {
                points.Add(new PlotPoint(((window + 0.5) * Plan.Window).TotalSeconds, read(figures)));
            }
        }

        return points;
    }

    public IReadOnlyList<PlotPoint> Series(string probe)
    {
        double[] values = _probes.Single(p => p.Name == probe).Values;
        return [.. values.Select((value, window) => new PlotPoint(((window + 1) * Plan.Window).TotalSeconds, value))];
    }

    public double Peak(string probe) => _probes.Single(p => p.Name == probe).Values.Max();

    private Cell CellOf(TimeSpan due, int lane) => _cells[Math.Clamp((int)(due / Plan.Window), 0, Windows - 1), lane];

    internal sealed record Probe(string Name, Func<double> Read, double[] Values);

    private sealed class Cell
    {
        public int Sent;
        public readonly int[] Replies = new int[Enum.GetValues<Reply>().Length];
        public readonly LatencyHistogram Latency = new();
        public readonly LatencyHistogram Refusals = new();
    }
}

/// <summary>A point of a plot.</summary>
internal readonly record struct PlotPoint(double X, double Y);
