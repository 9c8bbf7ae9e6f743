using System.Globalization;
using System.Net;
using System.Text;
using Resilience.Incidents.Replay;

namespace Resilience.Incidents.Report;

/// <summary>Writes what was found as one page that needs nothing else: no script, no font, no picture from anywhere.</summary>
internal static class HtmlReport
{
    public static string Write(IReadOnlyList<FinishedIncident> finished, ReplayOptions options)
    {
        var html = new StringBuilder(1 << 18);
        html.Append("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Fifteen outages, with and without Resilience Kit</title><style>");
        html.Append(Style());
        html.Append("</style></head><body><main>");
        html.Append("<h1>Outages, replayed</h1><p class=\"lead\">Each of these has taken somebody's service down. Here it happens again, twice: to a small service as a careful team writes it before it has been burnt, and to the same service with Resilience Kit, under the same load and the same seed. ");
        html.Append("Requests arrive at a constant rate whether or not the last one was answered, and a latency counts from the moment at which its request was due. ");
        html.Append("The plots have both sides on one axis: <b class=\"n\">without the kit</b>, <b class=\"k\">with the kit</b>. A verdict says whether the side with the kit has held what its page promises.</p>");
        html.Append(CultureInfo.InvariantCulture, $"<p class=\"run mono\">seed {options.Seed} · {Environment.ProcessorCount} cores · .NET {Environment.Version} · {(options.Quick ? "quick" : "full")} lengths · {finished.Count(static done => done.Passed)} of {finished.Count} held</p>");
        AppendOverview(html, finished);
        foreach (FinishedIncident done in finished)
        {
            AppendIncident(html, done);
        }

        html.Append("<footer>To see one again: <code>dotnet run -c Release --project bench/Resilience.Incidents -- NAME</code></footer></main></body></html>");
        return html.ToString();
    }

    private static void AppendOverview(StringBuilder html, IReadOnlyList<FinishedIncident> finished)
    {
        html.Append("<table class=\"overview\"><tr><th></th><th>outage</th><th></th><th class=\"n\">without the kit</th><th class=\"k\">with the kit</th></tr>");
        foreach (FinishedIncident done in finished)
        {
            FigureRow told = done.Result.Told ?? new FigureRow("the replay broke", string.Empty, string.Empty);
            html.Append(CultureInfo.InvariantCulture, $"<tr><td>{Verdict(done)}</td><td><a href=\"#{done.Incident.Name}\">{Text(done.Incident.Title)}</a></td><td class=\"what\">{Text(told.What)}</td><td class=\"mono\">{Text(told.Naive)}</td><td class=\"mono\">{Text(told.Kit)}</td></tr>");
        }

        html.Append("</table>");
    }

    private static void AppendIncident(StringBuilder html, FinishedIncident done)
    {
        Incident incident = done.Incident;
        html.Append(CultureInfo.InvariantCulture, $"<section id=\"{incident.Name}\"><header class=\"incident\"><h2>{Text(incident.Title)}</h2>{Verdict(done)}<code>{incident.Name}</code></header><div class=\"story\">");
        AppendStory(html, "What happened", incident.Happened);
        AppendStory(html, "Why", incident.Cause);
        AppendStory(html, "With the kit", incident.Remedy);
        html.Append("</div><div class=\"plots\">");
        foreach (Plot plot in done.Result.Plots)
        {
            SvgPlot.Append(html, plot);
        }

        html.Append("</div><div class=\"tables\">");
        AppendFigures(html, done.Result.Rows);
        html.Append("<div><ul class=\"checks\">");
        foreach (Check check in done.Result.Checks)
        {
            html.Append(CultureInfo.InvariantCulture, $"<li class=\"{(check.Passed ? "held" : "broke")}\">{Text(check.What)}: <b>{Text(check.Measured)}</b></li>");
        }

        html.Append("</ul>");
        if (done.Broken is { } broken)
        {
            html.Append(CultureInfo.InvariantCulture, $"<pre>{Text(broken.ToString())}</pre>");
        }

        html.Append(CultureInfo.InvariantCulture, $"<p class=\"reported\">Reported at the time: {Text(incident.Reported)}</p></div></div></section>");
    }

    private static void AppendStory(StringBuilder html, string title, string text) =>
        html.Append(CultureInfo.InvariantCulture, $"<div><h3>{title}</h3><p>{Text(text)}</p></div>");

    private static void AppendFigures(StringBuilder html, IReadOnlyList<FigureRow> rows)
    {
        html.Append("<table class=\"figures\"><tr><th></th><th class=\"n\">without the kit</th><th class=\"k\">with the kit</th></tr>");
        foreach (FigureRow row in rows)
        {
            html.Append(CultureInfo.InvariantCulture, $"<tr><td>{Text(row.What)}</td><td>{Text(row.Naive)}</td><td>{Text(row.Kit)}</td></tr>");
        }

        html.Append("</table>");
    }

    private static string Verdict(FinishedIncident done) => done.Passed ? "<span class=\"verdict pass\">HELD</span>" : "<span class=\"verdict fail\">BROKE</span>";

    private static string Style()
    {
        using Stream stream = typeof(HtmlReport).Assembly.GetManifestResourceStream("report.css") ?? throw new InvalidOperationException("The report's style is not embedded.");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }

    private static string Text(string text) => WebUtility.HtmlEncode(text);
}
