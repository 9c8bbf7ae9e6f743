using System.Globalization;
using Resilience.Incidents.Instruments;

namespace Resilience.Incidents.Replay;

/// <summary>What an incident has to show.</summary>
internal sealed class IncidentResult
{
    private readonly List<FigureRow> _rows = [];
    private readonly List<Check> _checks = [];
    private readonly List<Plot> _plots = [];

    public IReadOnlyList<FigureRow> Rows => _rows;

    public IReadOnlyList<Check> Checks => _checks;

    public IReadOnlyList<Plot> Plots => _plots;

    /// <summary>The row for the overview; <see langword="null"/> when the replay broke.</summary>
    public FigureRow? Told { get; private set; }

    public bool Passed => _checks.Count > 0 && _checks.TrueForAll(static check => check.Passed);

    public IncidentResult Row(string what, string naive, string kit)
    {
        _rows.Add(new FigureRow(what, naive, kit));
        return this;
    }

    /// <summary>The row that tells the whole in one line; the first one stands in the overview.</summary>
    public IncidentResult Headline(string what, string naive, string kit)
    {
        Row(what, naive, kit);
        Told ??= _rows[^1];
        return this;
    }

    /// <summary>Says what must hold, and by which measured value it is judged; the value appears as <c>key=value</c> on the result line.</summary>
    public IncidentResult Check(string what, string key, string measured, bool passed)
    {
        _checks.Add(new Check(what, key, measured, passed));
        return this;
    }

    public IncidentResult Add(Plot plot)
    {
        _plots.Add(plot);
        return this;
    }

    public IncidentResult AddLoadPlots(Timeline naive, Timeline kit, params IReadOnlyList<PlotMark> marks)
    {
        Add(new Plot("Useful answers", "% of requests", marks) { Max = 100 }.Both(naive, kit, static figures => figures.Success * 100));
        return Add(new Plot("Latency, 99th percentile", "ms", marks) { Logarithmic = true }.Both(naive, kit, static figures => figures.P99));
    }

    public static string Percent(double share, int digits = 2) => (share * 100).ToString("F" + digits, CultureInfo.InvariantCulture) + " %";

    public static string Ms(double milliseconds) => milliseconds.ToString(milliseconds < 10 ? "F2" : milliseconds < 100 ? "F1" : "F0", CultureInfo.InvariantCulture) + " ms";

    public static string Number(double value) => value.ToString(Math.Abs(value) < 10 && value != Math.Floor(value) ? "N2" : "N0", CultureInfo.InvariantCulture);
}

internal sealed record FigureRow(string What, string Naive, string Kit);

internal sealed record Check(string What, string Key, string Measured, bool Passed);

/// <summary>A moment, or a stretch of time, that explains a plot.</summary>
internal sealed record PlotMark(double From, string Label, double? To = null);

internal enum PlotSide
{
    Naive,
    Kit,
    Other,
}

internal sealed record PlotSeries(string Name, PlotSide Side, IReadOnlyList<PlotPoint> Points);

/// <summary>A time series of both sides on one axis.</summary>
internal sealed record Plot(string Title, string Unit, IReadOnlyList<PlotMark> Marks)
{
    private readonly List<PlotSeries> _series = [];

    public bool Logarithmic { get; init; }

    public double? Max { get; init; }

    public string XLabel { get; init; } = "seconds";

    public IReadOnlyList<PlotSeries> Series => _series;

    public Plot Line(string name, PlotSide side, IReadOnlyList<PlotPoint> points)
    {
        _series.Add(new PlotSeries(name, side, points));
        return this;
    }

    public Plot Both(Timeline naive, Timeline kit, Func<LoadFigures, double> read, int? lane = null) =>
        Line("without the kit", PlotSide.Naive, naive.Series(read, lane)).Line("with the kit", PlotSide.Kit, kit.Series(read, lane));

    public Plot Both(Timeline naive, Timeline kit, string probe) =>
        Line("without the kit", PlotSide.Naive, naive.Series(probe)).Line("with the kit", PlotSide.Kit, kit.Series(probe));
}
