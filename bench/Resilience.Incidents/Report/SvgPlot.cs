using System.Globalization;
using System.Net;
using System.Text;
using Resilience.Incidents.Instruments;
using Resilience.Incidents.Replay;

namespace Resilience.Incidents.Report;

/// <summary>Draws a time series as inline SVG; colours come from the page, so that it reads in light and in dark.</summary>
internal static class SvgPlot
{
    private const double Width = 520;
    private const double Height = 230;
    private const double Left = 52;
    private const double Right = 12;
    private const double Top = 18;
    private const double Bottom = 26;

    public static void Append(StringBuilder html, Plot plot)
    {
        PlotPoint[] all = [.. plot.Series.SelectMany(static series => series.Points)];
        if (all.Length == 0)
        {
            return;
        }

        var axes = Axes.Of(plot, all);
        html.Append(CultureInfo.InvariantCulture, $"<figure><figcaption>{Text(plot.Title)} <span>{Text(plot.Unit)}{(plot.Logarithmic ? ", logarithmic" : string.Empty)}</span></figcaption>");
        html.Append(CultureInfo.InvariantCulture, $"<svg viewBox=\"0 0 {Width} {Height}\" role=\"img\" aria-label=\"{Text(plot.Title)}\">");
        AppendMarks(html, plot, axes);
        AppendGrid(html, plot, axes);
        foreach (PlotSeries series in plot.Series)
        {
            AppendLine(html, series, axes);
        }

        html.Append("</svg><div class=\"legend\">");
        foreach (PlotSeries series in plot.Series)
        {
            html.Append(CultureInfo.InvariantCulture, $"<span><i class=\"{Class(series.Side)}\"></i>{Text(series.Name)}</span>");
        }

        html.Append("</div></figure>");
    }

    private static void AppendMarks(StringBuilder html, Plot plot, Axes axes)
    {
        foreach (PlotMark mark in plot.Marks)
        {
            double from = axes.X(mark.From);
            if (mark.To is { } to)
            {
                html.Append(CultureInfo.InvariantCulture, $"<rect class=\"band\" x=\"{from:F1}\" y=\"{Top}\" width=\"{axes.X(to) - from:F1}\" height=\"{Height - Top - Bottom}\"/>");
            }
            else
            {
                html.Append(CultureInfo.InvariantCulture, $"<line class=\"mark\" x1=\"{from:F1}\" x2=\"{from:F1}\" y1=\"{Top}\" y2=\"{Height - Bottom}\"/>");
            }

            string anchor = from > Width * 0.75 ? "end" : "start";
            html.Append(CultureInfo.InvariantCulture, $"<text class=\"note\" x=\"{from + (anchor == "end" ? -4 : 4):F1}\" y=\"{Top - 6}\" text-anchor=\"{anchor}\">{Text(mark.Label)}</text>");
        }
    }

    private static void AppendGrid(StringBuilder html, Plot plot, Axes axes)
    {
        foreach (double tick in axes.YTicks)
        {
            double y = axes.Y(tick);
            html.Append(CultureInfo.InvariantCulture, $"<line class=\"grid\" x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{y:F1}\" y2=\"{y:F1}\"/><text x=\"{Left - 7}\" y=\"{y + 3.5:F1}\" text-anchor=\"end\">{Short(tick)}</text>");
        }

        html.Append(CultureInfo.InvariantCulture, $"<line class=\"axis\" x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{Height - Bottom}\" y2=\"{Height - Bottom}\"/>");
        foreach (double tick in Ticks(axes.MaxX, 6))
        {
            html.Append(CultureInfo.InvariantCulture, $"<text x=\"{axes.X(tick):F1}\" y=\"{Height - Bottom + 15}\" text-anchor=\"middle\">{Short(tick)}</text>");
        }

        html.Append(CultureInfo.InvariantCulture, $"<text x=\"{Width - Right}\" y=\"{Height + 2}\" text-anchor=\"end\">{Text(plot.XLabel)}</text>");
    }

    private static void AppendLine(StringBuilder html, PlotSeries series, Axes axes)
    {
        html.Append(CultureInfo.InvariantCulture, $"<polyline class=\"line {Class(series.Side)}\" points=\"");
        foreach (PlotPoint point in series.Points)
        {
            html.Append(CultureInfo.InvariantCulture, $"{axes.X(point.X):F1},{axes.Y(point.Y):F1} ");
        }

        html.Append(CultureInfo.InvariantCulture, $"\"><title>{Text(series.Name)}</title></polyline>");
    }

    private static IEnumerable<double> Ticks(double max, int wanted)
    {
        double rough = max / wanted;
        double power = Math.Pow(10, Math.Floor(Math.Log10(Math.Max(rough, 1e-9))));
        double step = new[] { 1, 2, 5, 10 }.Select(factor => factor * power).First(candidate => candidate >= rough * 0.999);
        for (double tick = 0; tick <= max * 1.0001; tick += step)
        {
            yield return tick;
        }
    }

    private static string Class(PlotSide side) => side switch { PlotSide.Naive => "naive", PlotSide.Kit => "kit", _ => "other" };

    private static string Short(double value) => Math.Abs(value) switch
    {
        >= 1e6 => (value / 1e6).ToString("0.##", CultureInfo.InvariantCulture) + "M",
        >= 1e4 => (value / 1e3).ToString("0.#", CultureInfo.InvariantCulture) + "k",
        _ => value.ToString("0.###", CultureInfo.InvariantCulture),
    };

    private static string Text(string text) => WebUtility.HtmlEncode(text);

    private sealed record Axes(double MaxX, double MinY, double MaxY, bool Logarithmic, IReadOnlyList<double> YTicks)
    {
        public static Axes Of(Plot plot, PlotPoint[] all)
        {
            double maxX = Math.Max(all.Max(static point => point.X), plot.Marks.Select(static mark => mark.To ?? mark.From).DefaultIfEmpty(0).Max());
            if (plot.Logarithmic)
            {
                double[] positive = [.. all.Select(static point => point.Y).Where(static y => y > 0).DefaultIfEmpty(1)];
                int low = (int)Math.Floor(Math.Log10(positive.Min()));
                int high = Math.Max(low + 1, (int)Math.Ceiling(Math.Log10(positive.Max())));
                return new Axes(maxX, low, high, true, [.. Enumerable.Range(low, high - low + 1).Select(static power => Math.Pow(10, power))]);
            }

            double top = plot.Max ?? Math.Max(all.Max(static point => point.Y) * 1.05, 1e-6);
            return new Axes(maxX, 0, top, false, [.. Ticks(top, 5)]);
        }

        public double X(double value) => Left + (value / MaxX * (Width - Left - Right));

        public double Y(double value)
        {
            double scaled = Logarithmic ? Math.Log10(Math.Max(value, Math.Pow(10, MinY))) : value;
            return Height - Bottom - (Math.Clamp((scaled - MinY) / (MaxY - MinY), 0, 1) * (Height - Top - Bottom));
        }
    }
}
