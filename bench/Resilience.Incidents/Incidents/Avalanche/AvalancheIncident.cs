using Microsoft.Extensions.DependencyInjection;
using Resilience.Caching;
using Resilience.Incidents.Instruments;
using Resilience.Incidents.Replay;

namespace Resilience.Incidents.Incidents.Avalanche;

internal sealed class AvalancheIncident : Incident
{
    private const double Rate = 2_500;
    private const string CacheName = "products";

    public override string Name => "avalanche";

    public override string Title => "Everything in the cache expires in the same second";

    public override string Happened => "An hour after each deployment, to the minute, the database went to 100 % and product pages timed out, then all was well again until the next hour.";

    public override string Cause => "The warm-up had written every page within a second and with the same time to live. When the pages went, they went together, and while a page's query stood in line every visitor of that page queued another.";

    public override string Remedy => "Times to live are drawn apart, pages are refreshed in the background shortly before they expire, each page is loaded once however many ask, and the loads of one cache together never exceed a bound. Nobody waits for a refresh: a copy that has just expired is better than a place in the line.";

    public override string Reported => "database load −75 %";

    public override async Task<IncidentResult> RunAsync(ReplayRun run)
    {
        var plan = new LoadPlan { Rate = LoadPlan.Constant(Rate), Duration = run.Length(9, 21) };
        var zipf = new Zipf(Catalogue.Products, 0.8, run.Seed);

        run.Say($"without the kit: {Rate:N0} visitors a second, {Catalogue.Products:N0} pages");
        var naiveCatalogue = new Catalogue();
        using var naivePages = new Naive(naiveCatalogue);
        Timeline naive = await LoadAsync(plan, zipf, naiveCatalogue, naivePages);

        await run.SettleAsync();
        run.Say("with the kit: the same");
        var kitCatalogue = new Catalogue();
        await using KitHost host = await KitHost.StartAsync(static services => services.AddResilientCache(CacheName, WithKit.Configure));
        Timeline kit = await LoadAsync(plan, zipf, kitCatalogue, new WithKit(kitCatalogue, host.Services.GetRequiredKeyedService<ResilientCache>(CacheName)));

        Source was = naiveCatalogue.Source;
        Source now = kitCatalogue.Source;
        double share = (double)now.Peak / was.Peak;
        return new IncidentResult()
            .Row("requests", IncidentResult.Number(naive.All().Sent), IncidentResult.Number(kit.All().Sent))
            .Row("success", IncidentResult.Percent(naive.All().Success), IncidentResult.Percent(kit.All().Success))
            .Row("p99", IncidentResult.Ms(naive.All().P99), IncidentResult.Ms(kit.All().P99))
            .Headline("most queries at once", IncidentResult.Number(was.Peak), IncidentResult.Number(now.Peak))
            .Row("most queries at once for one page", IncidentResult.Number(was.PeakPerKey), IncidentResult.Number(now.PeakPerKey))
            .Row("queries in all", IncidentResult.Number(was.Calls), IncidentResult.Number(now.Calls))
            .Row("load on the database", "100 %", IncidentResult.Percent((double)now.Calls / was.Calls, 1))
            .Check("never two loads of one page at once", "per-key", IncidentResult.Number(now.PeakPerKey), now.PeakPerKey <= 1)
            .Check("the most queries at once are at most 5 % of what they were", "peak", IncidentResult.Percent(share), share <= 0.05)
            .Check("no request fails", "success", IncidentResult.Percent(kit.All().Success), kit.All().Success >= 0.9999)
            .AddLoadPlots(naive, kit, new PlotMark(Catalogue.Expiration.TotalSeconds, "time to live after the warm-up"))
            .Add(new Plot("Queries at the database", "at once", []) { Logarithmic = true }.Both(naive, kit, "at the source"));
    }

    private static async Task<Timeline> LoadAsync(LoadPlan plan, Zipf zipf, Catalogue catalogue, IProductPages pages)
    {
        var timeline = new Timeline(plan);
        timeline.Watch("at the source", () => catalogue.Source.TakePeak());
        await pages.WarmUpAsync(CancellationToken.None);
        await new OpenLoop(timeline, async (arrival, gone) =>
        {
            int id = zipf.Draw(arrival.Index);
            return (await pages.GetAsync(id, gone)).Id == id ? Reply.Ok : Reply.Wrong;
        }).RunAsync();
        return timeline;
    }
}
